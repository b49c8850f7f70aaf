"""A fleet whose certificates the operator's own authorities have issued: openssl's CAs, mosquitto's clients, the commands of the
README."""
import functools
import http.server
import json
import ssl
import threading

import pytest

import harness
from harness import publish, report, run, wait_for
from live_client import LiveClient
from mqtt_client import Connected, MqttClient
from own_ca import OwnCa

CUT_5 = "Received DISCONNECT (152)"  # 0x98, administrative action


@pytest.fixture(scope="module")
def server(tmp_path_factory, alertmanager):
    made = harness.Fleetward(tmp_path_factory.mktemp("authorities"), alertmanager,
                             settings={"gateway": {"resumption": True}, "pki": {"crl_allow_private": True}}).start()
    yield made
    assert made.stop() == 0, made.log_path.read_text()[-4000:]


def crl_file(server, name):
    return server.data / "crl" / name


def shown(server, ca):
    (found,) = [a for a in server.get("/v1/authorities")["authorities"] if a["id"] == ca.id]
    return found


def import_things(server, tmp_path, *certificates):
    table = tmp_path / "fleet.csv"
    table.write_text("name,groups,certificate\n" + "".join(f"{c.stem},own,{c}\n" for c in certificates))
    return server.cli("things", "import", table, check=False)


def connects(server, thing):
    wait_for(f"{thing} to be let in", lambda: publish(server, thing, report(1), check=False).returncode == 0)


def is_listening(server, thing, version="5"):
    client = LiveClient(server, thing, version, f"$aws/things/{thing}/defender/metrics/json/accepted", program="mosquitto_sub")
    client.wait_for("its subscription", "received SUBACK")
    return client


def refused(server, thing, reason, attempt):
    before = server.refusals().get(reason, 0)
    assert attempt().returncode != 0, f"{thing} was let in"
    wait_for(f"the count of {reason}", lambda: server.refusals().get(reason, 0) > before)


@pytest.fixture(scope="module")
def two(server, tmp_path_factory):
    """Two authorities of one name, with a device each whose certificates have one serial number."""
    folder = tmp_path_factory.mktemp("cas")
    acme = OwnCa(folder / "acme", "/CN=Devices")
    other = OwnCa(folder / "other", "/CN=Devices", ("RSA", "rsa_keygen_bits:2048"))
    certificates = [acme.issue("acme-1", server.devices, "77"), other.issue("other-1", server.devices, "77"),
                    acme.issue("acme-2", server.devices), other.issue("other-2", server.devices),
                    acme.issue("acme-3", server.devices), other.issue("other-3", server.devices)]
    acme.publish_crl(crl_file(server, "acme.crl"))
    assert publish(server, "acme-1", report(1), check=False).returncode != 0
    # The three commands: register, import, and the devices connect.
    told = server.cli("authorities", "register", acme.certificate, "--crl", "acme.crl")
    assert "ACTIVE" in told.stdout and "CN=Devices" in told.stdout, told.stdout
    server.cli("authorities", "register", other.certificate)
    dry = folder / "dry.csv"
    dry.write_text(f"name,certificate\nacme-1,{certificates[0]}\n")
    assert "would import 1" in server.cli("things", "import", dry, "--dry-run").stdout
    result = import_things(server, folder, *certificates)
    assert "imported 6 (0 were there before, 0 failed)" in result.stdout, result.stderr
    assert "6 were there before, 0 failed" in import_things(server, folder, *certificates).stdout
    return acme, other


def test_two_authorities_at_once(server, two):
    acme, other = two
    for thing in ("acme-1", "other-1", "acme-2", "other-2"):
        connects(server, thing)
    assert publish(server, "acme-1", report(1), certificate_of="other-1", check=False).returncode != 0, "under another's name"
    by_ca = server.aws("list-certificates-by-ca", "--ca-certificate-id", acme.id)["certificates"]
    assert len(by_ca) == 3
    (mine,) = server.get("/v1/certificates?thing=acme-1")["certificates"]
    assert mine["authority"] == acme.id
    # OCSP of ours does not speak for them.
    asked = run("openssl", "ocsp", "-issuer", acme.certificate, "-cert", acme.folder / "acme-1.crt", "-url", server.ocsp_url,
                "-noverify", check=False)
    assert "unauthorized" in asked.stdout + asked.stderr


def test_one_that_was_not_taken_in_is_refused_and_counted(server, two):
    acme, _ = two
    acme.issue("stranger", server.devices)
    refused(server, "stranger", "certificate-unknown", lambda: publish(server, "stranger", report(1), check=False))


def test_a_changed_crl_cuts_a_live_session(server, two):
    acme, _ = two
    wait_for("the first list", lambda: shown(server, acme)["crl"].get("applied"))
    with is_listening(server, "acme-1") as live, is_listening(server, "other-1") as namesake:
        acme.revoke("acme-1", "-crl_reason", "keyCompromise")
        acme.publish_crl(crl_file(server, "acme.crl"))
        live.wait_for("the DISCONNECT with its reason", CUT_5)
        assert CUT_5 not in namesake.told and namesake.process.poll() is None, "another authority's device of the same serial"
    refused(server, "acme-1", "certificate-revoked", lambda: publish(server, "acme-1", report(2), check=False))
    assert shown(server, acme)["stoppedCertificates"] == 1
    connects(server, "acme-2")


def test_one_that_is_revoked_already_is_not_taken_in(server, two, tmp_path):
    acme, _ = two
    certificate = acme.issue("late", server.devices)
    acme.revoke("late")
    acme.publish_crl(crl_file(server, "acme.crl"))
    number = int(shown(server, acme)["crl"]["number"], 16)

    def is_next():
        crl = shown(server, acme)["crl"]
        return crl["applied"] and int(crl["number"], 16) > number

    wait_for("the next list", is_next)
    result = import_things(server, tmp_path, certificate)
    assert result.returncode == 1 and "its authority has revoked it" in result.stderr


def test_an_older_list_is_ignored_and_told(server, two):
    acme, _ = two
    path = crl_file(server, "acme.crl")
    good = path.read_bytes()
    number = shown(server, acme)["crl"]["number"]
    (acme.folder / "crlnumber").write_text("01\n")
    acme.publish_crl(path)
    wait_for("what is said of it", lambda: "older" in shown(server, acme)["crl"].get("error", ""))
    assert shown(server, acme)["crl"]["number"] == number
    doctor = server.cli("doctor", "--config", server.config, check=False)
    assert "older" in doctor.stdout
    wait_for("the metric", lambda: server.metrics()[f'fleetward_pki_feed_failing{{authority="{acme.id}"}}'] == 1)
    path.write_bytes(good)
    wait_for("the good one again", lambda: "error" not in shown(server, acme)["crl"])
    (acme.folder / "crlnumber").write_text("20\n")


def test_quarantine_is_verified_as_for_our_own(server, two):
    """The probe is of our authority, whosever the thing's certificate is."""
    server.cli("things", "quarantine", "other-2", "--reason", "lost")
    (action,) = wait_for("its proof", lambda: [a for a in server.get("/v1/actions?thing=other-2")["actions"]
                                               if a["state"] == "in_effect"])
    assert any(e["kind"] == "probe" and e["good"] for e in action["evidence"])
    assert publish(server, "other-2", report(1), check=False).returncode != 0
    server.cli("things", "release", "other-2", "--reason", "found")
    connects(server, "other-2")


def test_our_revocation_of_theirs_is_verified_by_the_gateways(server, two):
    (certificate,) = server.get("/v1/certificates?thing=other-3")["certificates"]
    connects(server, "other-3")
    server.cli("certificates", "revoke", certificate["certificateId"], "--reason", "stolen")
    (action,) = wait_for("its proof", lambda: [a for a in server.get("/v1/actions?thing=other-3")["actions"]
                                               if a["level"] == "revoke" and a["state"] in ("in_effect", "failed")])
    assert action["state"] == "in_effect", action
    assert publish(server, "other-3", report(1), check=False).returncode != 0


def test_deactivation_cuts_refuses_and_resumption_is_no_way_in(server, two):
    _, other = two
    resuming = MqttClient(server, "other-1", tls=ssl.TLSVersion.TLSv1_3)
    wait_for("a first full handshake", lambda: resuming.connect() == Connected(True, False, 0))
    assert resuming.connect() == Connected(True, True, 0), "resumption works before"
    resuming.close()
    with is_listening(server, "other-1") as live, is_listening(server, "acme-2") as innocent:
        told = server.cli("authorities", "deactivate", other.id)
        assert "INACTIVE" in told.stdout
        live.wait_for("the DISCONNECT with its reason", CUT_5)
        assert CUT_5 not in innocent.told and innocent.process.poll() is None
    assert resuming.connect().code is None, "by its old session"
    assert publish(server, "other-1", report(1), check=False).returncode != 0
    connects(server, "acme-2")
    assert server.cli("authorities", "activate", other.id).returncode == 0
    connects(server, "other-1")
    held = server.cli("authorities", "delete", other.id, check=False)
    assert held.returncode == 1 and "deactivate" in held.stderr


def test_a_list_that_has_expired_is_told_and_stays(server, tmp_path):
    ca = OwnCa(tmp_path / "short", "/CN=Short")
    certificates = [ca.issue("short-1", server.devices), ca.issue("short-2", server.devices)]
    ca.revoke("short-2")
    ca.publish_crl(crl_file(server, "short.crl"), "-crlsec", "2")
    server.cli("authorities", "register", ca.certificate, "--crl", "short.crl")
    wait_for("the list", lambda: shown(server, ca)["crl"]["applied"])
    assert import_things(server, tmp_path, *certificates).returncode == 1, "one of them is revoked"
    wait_for("its end", lambda: shown(server, ca)["crl"]["expired"])
    assert "EXPIRED" in server.cli("authorities", "list").stdout
    name = f'fleetward_pki_feed_expired{{authority="{ca.id}"}}'
    wait_for("the metric", lambda: server.metrics()[name] == 1)
    wait_for("the log", lambda: "crl_of_authority_expired" in server.log_path.read_text())
    doctor = server.cli("doctor", "--config", server.config, check=False)
    assert "authority CN=Short CRL" in doctor.stdout and "expired" in doctor.stdout
    connects(server, "short-1")  # who is in stays in, and who was revoked stays out
    refused_again = import_things(server, tmp_path, certificates[1])
    assert "revoked it" in refused_again.stderr


class Folder(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_a_list_at_an_address(server, tmp_path):
    served = tmp_path / "served"
    served.mkdir()
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Folder, directory=str(served)))
    threading.Thread(target=web.serve_forever, daemon=True).start()
    try:
        ca = OwnCa(tmp_path / "web", "/CN=Web")
        certificate = ca.issue("web-1", server.devices)
        url = f"http://127.0.0.1:{web.server_address[1]}/devices.crl"
        server.cli("authorities", "register", ca.certificate, "--crl", url, "--every", "1s")
        wait_for("the failure, told", lambda: "404" in shown(server, ca)["crl"].get("error", ""))
        ca.publish_crl(served / "devices.crl")
        assert import_things(server, tmp_path, certificate).returncode == 0
        connects(server, "web-1")
        wait_for("the list", lambda: shown(server, ca)["crl"]["applied"], 60)
        with is_listening(server, "web-1") as live:
            ca.revoke("web-1")
            ca.publish_crl(served / "devices.crl")
            live.wait_for("the DISCONNECT with its reason", CUT_5)
    finally:
        web.shutdown()
        web.server_close()


def test_private_addresses_need_the_operators_word(installation, tmp_path):
    server = installation().start()
    ca = OwnCa(tmp_path / "ca")
    server.cli("authorities", "register", ca.certificate, "--crl", "http://127.0.0.1:1/devices.crl")
    wait_for("the refusal", lambda: "not of the public internet" in shown(server, ca)["crl"].get("error", ""))
    for bad in ("../store/store.db", "/etc/passwd", ".hidden", "ftp://x/y"):
        answer = server.cli("authorities", "crl", ca.id, bad, check=False)
        assert answer.returncode == 1, bad
    assert server.stop() == 0


def test_it_holds_over_a_new_start(installation, tmp_path):
    server = installation().start()
    ca = OwnCa(tmp_path / "ca")
    certificates = [ca.issue("kept-1", server.devices), ca.issue("kept-2", server.devices)]
    ca.publish_crl(crl_file(server, "ca.crl"))
    server.cli("authorities", "register", ca.certificate, "--crl", "ca.crl")
    assert import_things(server, tmp_path, *certificates).returncode == 0
    connects(server, "kept-1")
    server.kill()
    ca.revoke("kept-1")
    ca.publish_crl(crl_file(server, "ca.crl"))
    server.start()
    connects(server, "kept-2")
    wait_for("its revocation", lambda: shown(server, ca)["stoppedCertificates"] == 1)
    wait_for("its refusal", lambda: publish(server, "kept-1", report(1), check=False).returncode != 0)
    server.cli("authorities", "deactivate", ca.id)
    server.cli("authorities", "delete", ca.id)
    assert server.get("/v1/authorities")["authorities"] == []
    wait_for("the other's refusal", lambda: publish(server, "kept-2", report(1), check=False).returncode != 0)
    assert json.loads(server.cli("authorities", "list", "-o", "json").stdout) == []
    assert server.stop() == 0


def test_a_crash_in_the_midst_of_a_list_is_made_good(installation, tmp_path):
    server = installation().start(faults="pki.in_the_midst_of_a_feed")
    ca = OwnCa(tmp_path / "ca")
    certificates = [ca.issue("mid-1", server.devices), ca.issue("mid-2", server.devices)]
    server.cli("authorities", "register", ca.certificate, "--crl", "ca.crl")
    assert import_things(server, tmp_path, *certificates).returncode == 0
    connects(server, "mid-1")
    ca.revoke("mid-1")
    ca.publish_crl(crl_file(server, "ca.crl"))
    assert server.wait_dead() != 0
    server.start()
    wait_for("the rest of it", lambda: shown(server, ca)["crl"]["applied"])
    assert shown(server, ca)["stoppedCertificates"] == 1
    connects(server, "mid-2")
    wait_for("its refusal", lambda: publish(server, "mid-1", report(1), check=False).returncode != 0)
    assert server.stop() == 0
