"""The aws command line, unchanged, against our control plane."""
import json
import time

import pytest

from harness import ACCOUNT, REGION, publish, report, run, wait_for
from own_ca import OwnCa

BEHAVIORS = json.dumps([
    {"name": "few-listeners", "metric": "aws:num-listening-tcp-ports",
     "criteria": {"comparisonOperator": "less-than", "value": {"count": 5}}},
    {"name": "known-ports", "metric": "aws:listening-tcp-ports",
     "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 8883]}}, "suppressAlerts": True},
])


def arn(kind, name):
    return f"arn:aws:iot:{REGION}:{ACCOUNT}:{kind}/{name}"


def test_profile_thing_and_violation_life(fleetward):
    created = fleetward.aws("create-security-profile", "--security-profile-name", "listeners", "--behaviors", BEHAVIORS)
    assert created == {"securityProfileName": "listeners", "securityProfileArn": arn("securityprofile", "listeners")}
    group = fleetward.aws("create-thing-group", "--thing-group-name", "aws-cams")
    assert group["thingGroupArn"] == arn("thinggroup", "aws-cams")
    thing = fleetward.aws("create-thing", "--thing-name", "aws-dev1")
    assert thing["thingArn"] == arn("thing", "aws-dev1") and thing["thingId"]
    fleetward.aws("add-thing-to-thing-group", "--thing-name", "aws-dev1", "--thing-group-name", "aws-cams")
    fleetward.aws("attach-security-profile", "--security-profile-name", "listeners",
                  "--security-profile-target-arn", arn("thinggroup", "aws-cams"))

    keys = fleetward.aws("create-keys-and-certificate", "--set-as-active")
    folder = fleetward.devices / "aws-dev1"
    folder.mkdir()
    (folder / "cert.pem").write_text(keys["certificatePem"])
    (folder / "key.pem").write_text(keys["keyPair"]["PrivateKey"])
    der = run("openssl", "x509", "-in", folder / "cert.pem", "-noout", "-fingerprint", "-sha256").stdout
    assert der.split("=")[1].strip().replace(":", "").lower() == keys["certificateId"]
    fleetward.aws("attach-thing-principal", "--thing-name", "aws-dev1", "--principal", keys["certificateArn"])

    wait_for("the first report's acknowledgement", lambda: publish(fleetward, "aws-dev1", report(1), check=False).returncode == 0)
    publish(fleetward, "aws-dev1", report(2, ports=(22, 23, 80, 443, 8883, 9000)))
    active = wait_for("active violations", lambda: (
        v := fleetward.aws("list-active-violations", "--thing-name", "aws-dev1")["activeViolations"]) and len(v) >= 1 and v)
    by_name = {v["behavior"]["name"]: v for v in active}
    assert by_name["few-listeners"]["lastViolationValue"] == {"count": 6}
    assert by_name["few-listeners"]["behavior"]["criteria"]["consecutiveDatapointsToAlarm"] == 1
    assert len(by_name["few-listeners"]["violationId"]) == 32
    now = time.time()
    events = fleetward.aws("list-violation-events", "--start-time", str(now - 600), "--end-time", str(now + 600),
                           "--thing-name", "aws-dev1")["violationEvents"]
    assert "in-alarm" in {e["violationEventType"] for e in events}
    assert by_name["few-listeners"]["violationId"] in {e["violationId"] for e in events}

    described = fleetward.aws("describe-endpoint", "--endpoint-type", "iot:Data-ATS")
    assert described["endpointAddress"]

    fleetward.aws("detach-security-profile", "--security-profile-name", "listeners",
                  "--security-profile-target-arn", arn("thinggroup", "aws-cams"))


def test_errors_have_the_names_that_clients_catch(fleetward):
    missing = fleetward.aws("describe-thing", "--thing-name", "nobody", check=False)
    assert "ResourceNotFoundException" in missing.stderr
    fleetward.aws("create-thing", "--thing-name", "twice")
    fleetward.aws("create-thing", "--thing-name", "twice")  # the same request again is no error
    again = fleetward.aws("create-thing", "--thing-name", "twice", "--attribute-payload", "attributes={a=b}", check=False)
    assert "ResourceAlreadyExistsException" in again.stderr
    bad = fleetward.aws("create-security-profile", "--security-profile-name", "bad", "--behaviors", json.dumps(
        [{"name": "x", "metric": "aws:no-such-metric", "criteria": {"comparisonOperator": "less-than", "value": {"count": 1}}}]),
        check=False)
    assert "InvalidRequestException" in bad.stderr and "aws:no-such-metric" in bad.stderr


def test_a_wrong_secret_is_refused(fleetward):
    env = dict(fleetward.env(), AWS_SECRET_ACCESS_KEY="x" * 40)
    from harness import AWS
    result = run(AWS, "iot", "list-things", env=env, check=False)
    assert result.returncode != 0 and "InvalidSignatureException" in result.stderr


def test_custom_metric_is_created_once_and_refused_while_used(fleetward):
    fleetward.aws("create-custom-metric", "--metric-name", "cpu", "--metric-type", "number", "--client-request-token", "t1")
    again = fleetward.aws("create-custom-metric", "--metric-name", "cpu", "--metric-type", "number-list",
                          "--client-request-token", "t2", check=False)
    assert "ResourceAlreadyExistsException" in again.stderr
    fleetward.aws("create-security-profile", "--security-profile-name", "cpu-low", "--behaviors", json.dumps(
        [{"name": "cpu", "metric": "cpu", "criteria": {"comparisonOperator": "less-than", "value": {"number": 90}}}]))
    used = fleetward.aws("delete-custom-metric", "--metric-name", "cpu", check=False)
    assert used.returncode != 0


def test_certificate_states(fleetward):
    keys = fleetward.aws("create-keys-and-certificate", "--set-as-active")
    fleetward.aws("update-certificate", "--certificate-id", keys["certificateId"], "--new-status", "INACTIVE")
    described = fleetward.aws("describe-certificate", "--certificate-id", keys["certificateId"])
    assert described["certificateDescription"]["status"] == "INACTIVE"


@pytest.mark.parametrize("page", [2, 5])
def test_lists_page(fleetward, page):
    for i in range(7):
        fleetward.aws("create-thing", "--thing-name", f"page{i}")
    names, token = [], None
    while True:
        args = ["list-things", "--max-results", str(page), "--no-paginate"] + (["--next-token", token] if token else [])
        answer = fleetward.aws(*args)
        assert len(answer["things"]) <= page
        names += [t["thingName"] for t in answer["things"]]
        token = answer.get("nextToken")
        if not token:
            break
    assert len(names) == len(set(names)) and {f"page{i}" for i in range(7)} <= set(names)


def test_an_authority_of_ones_own(fleetward, tmp_path):
    ca = OwnCa(tmp_path / "ca")
    code = fleetward.aws("get-registration-code")["registrationCode"]
    verification = ca.issue(code)
    made = fleetward.aws("register-ca-certificate", "--ca-certificate", f"file://{ca.certificate}", "--verification-certificate",
                         f"file://{verification}", "--set-as-active")
    assert made == {"certificateArn": arn("cacert", ca.id), "certificateId": ca.id}
    assert fleetward.aws("describe-ca-certificate", "--certificate-id", ca.id)["certificateDescription"]["status"] == "ACTIVE"
    assert [c["certificateId"] for c in fleetward.aws("list-ca-certificates")["certificates"]] == [ca.id]
    certificate = ca.issue("aws-own", fleetward.devices)
    registered = fleetward.aws("register-certificate", "--certificate-pem", f"file://{certificate}", "--ca-certificate-pem",
                               f"file://{ca.certificate}", "--status", "ACTIVE")
    fleetward.aws("create-thing", "--thing-name", "aws-own")
    fleetward.aws("attach-thing-principal", "--thing-name", "aws-own", "--principal", registered["certificateArn"])
    wait_for("its report", lambda: publish(fleetward, "aws-own", report(1), check=False).returncode == 0)
    by_ca = fleetward.aws("list-certificates-by-ca", "--ca-certificate-id", ca.id)["certificates"]
    assert [c["certificateId"] for c in by_ca] == [registered["certificateId"]]
    active = fleetward.aws("delete-ca-certificate", "--certificate-id", ca.id, check=False)
    assert active.returncode != 0 and "CertificateStateException" in active.stderr
    fleetward.aws("update-ca-certificate", "--certificate-id", ca.id, "--new-status", "INACTIVE")
    wait_for("its refusal", lambda: publish(fleetward, "aws-own", report(2), check=False).returncode != 0)
    fleetward.aws("delete-ca-certificate", "--certificate-id", ca.id)
    assert fleetward.aws("list-ca-certificates")["certificates"] == []
