"""A device speaks for itself only, and is answered as agents expect."""
import json
import time

import pytest

from harness import publish, report, run, wait_for


@pytest.fixture(scope="module")
def pair(fleetward):
    fleetward.enrol("dev1", "dev10", group="identity")
    for thing in ("dev1", "dev10"):
        wait_for("first report", lambda: publish(fleetward, thing, report(1), check=False).returncode == 0)
    return fleetward


def ask(server, thing, payload, version, reply):
    """One client that reports and waits for the reply on its own topic, as agents do."""
    topic = f"$aws/things/{thing}/defender/metrics/json"
    out = run("mosquitto_rr", "-V", version, *server.device(thing), "-i", thing, "-q", "1", "-W", "10", "-t", topic,
              "-e", f"{topic}/{reply}", "-m", payload, timeout=20).stdout
    return json.loads(out)


@pytest.mark.parametrize("version", ["311", "5"])
def test_a_report_is_accepted_with_its_id_as_a_number(pair, version):
    report_id = int(time.time() * 1000)
    answer = ask(pair, "dev1", report(report_id), version, "accepted")
    assert answer["thingName"] == "dev1" and answer["status"] == "ACCEPTED"
    assert answer["reportId"] == report_id and isinstance(answer["timestamp"], int)


@pytest.mark.parametrize("version", ["311", "5"])
def test_a_bad_report_is_rejected_by_field(pair, version):
    bad = json.loads(report(11))
    bad["metrics"]["listening_tcp_ports"]["ports"][0]["port"] = 99999
    answer = ask(pair, "dev1", json.dumps(bad), version, "rejected")
    assert answer["status"] == "REJECTED" and answer["reportId"] == 11
    assert answer["statusDetails"]["ErrorCode"] == "InvalidPayload"
    assert "listening_tcp_ports" in answer["statusDetails"]["ErrorMessage"]


def test_an_undefined_custom_metric_is_told(pair):
    answer = ask(pair, "dev1", report(12, custom={"no_such": [{"number": 1}]}), "5", "accepted")
    assert "no_such" in json.dumps(answer)


def test_no_certificate_and_foreign_certificate_are_refused(pair, tmp_path):
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=dev1",
        "-days", "1", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem")
    args = ["--cafile", str(pair.ca), "-h", "localhost", "-p", str(pair.mqtt_port), "-i", "dev1", "-q", "1", "-t",
            "$aws/things/dev1/defender/metrics/json", "-m", report(1)]
    for identity in ([], ["--cert", tmp_path / "cert.pem", "--key", tmp_path / "key.pem"]):
        before = pair.refusals().get("handshake", 0)
        assert run("mosquitto_pub", *args, *identity, check=False, timeout=20).returncode != 0
        wait_for("the refusal of the handshake", lambda: pair.refusals().get("handshake", 0) > before)
        assert pair.refusals()["handshake"] == before + 1, "no further than TLS"
