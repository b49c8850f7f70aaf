"""A fleet that exists is imported; a thing that is deleted is gone everywhere."""
import hashlib
import ssl
import subprocess

from harness import publish, report, run, wait_for


def fingerprint(pem):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def test_import_is_checked_idempotent_and_complete(fleetward, tmp_path):
    # A certificate of ours that belongs to nobody yet.
    made = fleetward.aws("create-keys-and-certificate", "--set-as-active")
    (tmp_path / "cam.pem").write_text(made["certificatePem"])
    assert fingerprint(made["certificatePem"]) == made["certificateId"]
    table = tmp_path / "fleet.csv"
    rows = ["imp-000,imported,camera,firmware=1.2;vendor=Acme,cam.pem"]
    rows += [f"imp-{i:03},imported;site-{i % 3},camera,," for i in range(1, 30)]
    table.write_text("name,groups,type,attributes,certificate\n" + "\n".join(rows) + "\n")

    dry = fleetward.cli("things", "import", table, "--dry-run")
    assert "would import 30 (0 were there before" in dry.stdout
    assert fleetward.get("/v1/things?group=imported")["things"] == []
    assert "imported 30 (0 were there before, 0 failed)" in fleetward.cli("things", "import", table).stdout
    assert "imported 0 (30 were there before, 0 failed)" in fleetward.cli("things", "import", table).stdout
    things = {t["name"]: t for t in fleetward.get("/v1/things?group=imported")["things"]}
    assert len(things) == 30
    assert sorted(things["imp-004"]["groups"]) == ["imported", "site-1"]
    shown = fleetward.aws("describe-thing", "--thing-name", "imp-000")
    assert shown["attributes"] == {"firmware": "1.2", "vendor": "Acme"} and shown["thingTypeName"] == "camera"

    # The device that holds the key is that thing now.
    folder = fleetward.devices / "imp-000"
    folder.mkdir()
    (folder / "cert.pem").write_text(made["certificatePem"])
    (folder / "key.pem").write_text(made["keyPair"]["PrivateKey"])
    wait_for("its report", lambda: publish(fleetward, "imp-000", report(1), check=False).returncode == 0)

    foreign = tmp_path / "foreign.pem"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x",
        "-keyout", tmp_path / "foreign.key", "-out", foreign)
    lines = tmp_path / "more.jsonl"
    lines.write_text('{"name": "imp-100", "certificate": "foreign.pem"}\n{"name": "imp-101", "groups": ["imported"]}\n')
    result = fleetward.cli("things", "import", lines, check=False)
    assert result.returncode == 1
    assert "line 1: certificate" in result.stderr and "imported 1" in result.stdout


def test_a_deleted_thing_is_gone_everywhere(fleetward):
    fleetward.enrol("gone-1", group="gone")
    fleetward.request("PUT", "/v1/profiles/gone", {"targets": ["group/gone"], "behaviors": [
        {"name": "ports", "metric": "aws:listening-tcp-ports", "suppressAlerts": True,
         "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22]}}}]})
    wait_for("a report", lambda: publish(fleetward, "gone-1", report(1, ports=(22,)), check=False).returncode == 0)
    action = fleetward.request("POST", "/v1/things/gone-1/quarantine", {"level": "isolate", "reason": "a drill"})
    held = fleetward.cli("things", "delete", "gone-1", check=False)
    assert held.returncode == 1 and "held by action" in held.stderr
    fleetward.request("POST", f"/v1/actions/{action['id']}/release", {"reason": "over"})

    listener = ["mosquitto_sub", "-V", "5", *fleetward.device("gone-1"), "-i", "gone-1", "-q", "1", "-k", "10",
                "-t", "$aws/things/gone-1/defender/metrics/json/accepted", "-E"]
    wait_for("its way in", lambda: subprocess.run(listener, capture_output=True, timeout=20).returncode == 0)
    listener.remove("-E")
    session = subprocess.Popen(listener, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_for("its session", lambda: fleetward.get("/v1/things/gone-1").get("connected") is True)
    cut = fleetward.metrics()["fleetward_gateway_sessions_cut_total"]
    assert "deleted gone-1; 1 certificates" in fleetward.cli("things", "delete", "gone-1").stdout
    wait_for("the end of its session", lambda: fleetward.metrics()["fleetward_gateway_sessions_cut_total"] > cut, 20)
    session.kill()
    session.wait()
    assert publish(fleetward, "gone-1", report(2), check=False).returncode != 0
    assert fleetward.request("GET", "/v1/things/gone-1", expect=(404,))
