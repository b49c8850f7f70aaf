"""Records on the tables that gateways enforce by, written by somebody else: nobody is cut or let in by them, they are
counted and paged, and the true record comes last again."""
import json
import stat

import jsonschema

import bus_file
import bus_forger
from harness import FLEETWARD, ROOT, publish, report, run, wait_for

ACCESS, CERTIFICATES = "fleetward.access", "fleetward.certificates"


def last_of(server, topic, key):
    return [r for r in bus_file.records(server, topic) if r.key == key][-1]


def forge(server, topic, like, change, signature=None):
    """The record with its data changed, two versions on, under no signature or another's."""
    event = json.loads(like.value)
    version = int(like.headers["fw-version"]) + 2
    change(event["data"])
    event["data"]["version"] = version
    event["subject"] = like.key
    headers = {"fw-version": str(version), "content-type": "application/cloudevents+json"}
    if signature:
        headers["fw-signature"] = signature
    bus_forger.append(server, topic, like.key, json.dumps(event).encode(), headers)


def refused(server, topic, reason):
    return server.metrics().get(f'fleetward_gateway_refused_records_total{{topic="{topic}",reason="{reason}"}}', 0)


def test_forged_records_cut_nobody_let_nobody_in_and_page_once(installation, alertmanager):
    server = installation().start()
    server.enrol("free", "held", "revoked")
    action = server.request("POST", "/v1/things/held/quarantine", {"reason": "a test"})
    wait_for("the hold", lambda: publish(server, "held", report(1), check=False).returncode != 0)
    wait_for("its proof", lambda: server.get(f"/v1/actions/{action['id']}")["state"] == "in_effect")
    fingerprint = server.aws("list-thing-principals", "--thing-name", "revoked")["principals"][0].split("/")[-1]
    server.aws("update-certificate", "--certificate-id", fingerprint, "--new-status", "INACTIVE")
    wait_for("a refusal", lambda: publish(server, "revoked", report(1), check=False).returncode != 0)
    publish(server, "free", report(1))
    assert server.stop() == 0

    hold = last_of(server, ACCESS, "held")
    certificate = last_of(server, CERTIFICATES, fingerprint)
    assert hold.headers["fw-signature"] and certificate.headers["fw-signature"]
    forge(server, ACCESS, hold, lambda data: data.update(holds=[]))
    forge(server, ACCESS, hold._replace(key="free"), lambda data: data.update(thing="free"), hold.headers["fw-signature"])
    forge(server, CERTIFICATES, certificate, lambda data: data.update(status="ACTIVE"), "0" * 32 + ":AAAA")
    bus_forger.append(server, ACCESS, "held", None, {})

    server.start()
    for topic, reason in ((ACCESS, "unsigned"), (ACCESS, "bad_signature"), (CERTIFICATES, "unknown_key")):
        wait_for(f"{reason} to be counted", lambda topic=topic, reason=reason: refused(server, topic, reason))
    publish(server, "free", report(2))
    assert publish(server, "held", report(2), check=False).returncode != 0
    assert publish(server, "revoked", report(2), check=False).returncode != 0

    def conditions():
        return {c["subject"]: c for c in server.get("/v1/governor")["conditions"] if c["kind"] == "forged_record"}
    wait_for("both conditions", lambda: set(conditions()) == {ACCESS, CERTIFICATES})
    wait_for("two incidents, one a topic", lambda: len([
        i for i in server.get("/v1/incidents")["incidents"] if i["entry"] == "governor/forged_record"]) == 2)
    wait_for("their pages", lambda: len({a["labels"]["incident"] for a in alertmanager.alerts()
                                         if "forges records" in a["annotations"]["summary"]}) == 2)

    wait_for("the true hold as the last", lambda: last_of(server, ACCESS, "held").value == hold.value)
    wait_for("no record of the free one", lambda: last_of(server, ACCESS, "free").value is None)
    wait_for("the true certificate", lambda: last_of(server, CERTIFICATES, fingerprint).value == certificate.value)
    assert last_of(server, ACCESS, "held").headers == hold.headers, "what was signed when it was decided"

    schema = json.loads((ROOT / "schemas" / "refused-record.schema.json").read_text())
    told = [json.loads(r.value) for r in bus_file.records(server, "fleetward.enforcement")]
    told = [e["data"] for e in told if e["type"] == "io.fleetward.refused-record.v1"]
    assert {r["reason"] for r in told} == {"unsigned", "bad_signature", "unknown_key"}
    for data in told:
        jsonschema.Draft202012Validator(schema).validate(data)

    # A change after all that counts on from the true version, and is believed.
    server.cli("actions", "release", action["id"], "--reason", "done")
    wait_for("the release", lambda: publish(server, "held", report(3), check=False).returncode == 0)
    assert server.stop() == 0

    # History is not told again: the pages of before stand for it.
    server.start()
    publish(server, "free", report(4))
    assert len(server.get("/v1/governor")["conditions"]) == 2
    assert server.stop() == 0


def test_keys_are_made_once_kept_and_asked_for(installation):
    server = installation()
    folder = server.data / "signing"
    kept = {f.name: f.read_bytes() for f in folder.iterdir()}
    assert set(kept) == {"api.key", "pki.key", "responder.key", "signers.json"}
    for name in kept:
        assert stat.S_IMODE((folder / name).stat().st_mode) == (0o644 if name == "signers.json" else 0o600), name
    run(FLEETWARD, "init", "--config", server.config)
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == kept

    (folder / "responder.key").chmod(0o644)
    result = run(FLEETWARD, "run", "all", "--config", server.config, check=False)
    assert result.returncode == 1 and "responder.key" in result.stderr
    (folder / "responder.key").unlink()
    result = run(FLEETWARD, "run", "all", "--config", server.config, check=False)
    assert result.returncode == 1 and "fleetward init" in result.stderr
    run(FLEETWARD, "init", "--config", server.config)
    signers = json.loads((folder / "signers.json").read_text())["signers"]
    assert sorted(s["role"] for s in signers) == ["api", "pki", "responder", "responder"], "the old one until it is taken out"


def test_a_key_that_is_taken_out_is_replaced_by_what_is_signed_anew(installation):
    server = installation().start()
    server.enrol("cam")
    publish(server, "cam", report(1))
    assert server.stop() == 0
    folder = server.data / "signing"
    for key in folder.glob("*.key"):
        key.unlink()
    (folder / "signers.json").unlink()
    run(FLEETWARD, "init", "--config", server.config)
    server.start()
    wait_for("a report by a record that was signed anew", lambda: publish(server, "cam", report(2), check=False).returncode == 0)
    assert not server.get("/v1/governor")["conditions"], "what says the same as the store is no forgery"
    assert server.stop() == 0
