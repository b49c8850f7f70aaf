"""boto3 against the control plane: all operations that there are, every answer held against botocore's model, errors by class."""
import concurrent.futures
import re
import time

import boto3
import pytest
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

import authority_scenario
import dimension_scenario
import harness
from botocore_check import Checker
from harness import ACCOUNT, REGION, ROOT, publish, report, run, wait_for

BEHAVIORS = [
    {"name": "few-listeners", "metric": "aws:num-listening-tcp-ports",
     "criteria": {"comparisonOperator": "less-than", "value": {"count": 5}, "consecutiveDatapointsToAlarm": 1}},
    {"name": "known-ports", "metric": "aws:listening-tcp-ports",
     "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 8883]}}, "suppressAlerts": True},
    {"name": "known-peers", "metric": "aws:destination-ip-addresses",
     "criteria": {"comparisonOperator": "in-cidr-set", "value": {"cidrs": ["10.0.0.0/8", "fd00::/8"]}}},
    {"name": "little-traffic", "metric": "aws:all-bytes-out",
     "criteria": {"comparisonOperator": "less-than-equals", "value": {"count": 1000000}, "durationSeconds": 300}},
]


def arn(kind, name):
    return f"arn:aws:iot:{REGION}:{ACCOUNT}:{kind}/{name}"


def client_of(server, **more):
    env = dict(server.env(), **more)
    return boto3.client("iot", endpoint_url=server.api, verify=str(server.ca), region_name=REGION,
                        aws_access_key_id=env["AWS_ACCESS_KEY_ID"], aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
                        config=Config(retries={"total_max_attempts": 1}))


@pytest.fixture(scope="module")
def fleetward(tmp_path_factory, alertmanager):
    """One that observes: alarms are looked at here, and nobody is taken off the network."""
    server = harness.Fleetward(tmp_path_factory.mktemp("boto3"), alertmanager, mode="observe").start()
    yield server
    assert server.stop() in (0, None), server.log_path.read_text()[-4000:]


@pytest.fixture(scope="module")
def iot(fleetward):
    client = client_of(fleetward)
    client.checker = Checker(client)
    return client


@pytest.fixture(autouse=True)
def answers_are_as_the_model_says(iot):
    iot.checker.problems.clear()
    yield
    assert not iot.checker.problems, "\n".join(iot.checker.problems)


def pages(client, operation, member, **arguments):
    """All items, two a page."""
    found = []
    for page in client.get_paginator(operation).paginate(**arguments, PaginationConfig={"PageSize": 2}):
        assert len(page[member]) <= 2
        found += page[member]
    return found


def test_things_and_groups(iot):
    created = iot.create_thing(thingName="lamp:1", attributePayload={"attributes": {"model": "L-1", "site": "a.b@c/d:e#f"}})
    assert created["thingArn"] == arn("thing", "lamp:1") and created["thingId"]
    assert iot.create_thing(thingName="lamp:1", attributePayload={"attributes": {"model": "L-1", "site": "a.b@c/d:e#f"}}) \
        ["thingId"] == created["thingId"], "the same again is the same"
    for i in range(2, 6):
        iot.create_thing(thingName=f"lamp:{i}", thingTypeName="lamp", attributePayload={"attributes": {"model": f"L-{i % 2}"}})
    assert iot.describe_thing(thingName="lamp:2")["thingTypeName"] == "lamp"
    described = iot.describe_thing(thingName="lamp:1")
    assert described["thingId"] == created["thingId"] and described["attributes"]["site"] == "a.b@c/d:e#f"
    assert described["version"] == 1 and described["defaultClientId"] == "lamp:1"
    assert {t["thingName"] for t in pages(iot, "list_things", "things")} >= {f"lamp:{i}" for i in range(1, 6)}
    by_model = pages(iot, "list_things", "things", attributeName="model", attributeValue="L-0")
    assert {t["thingName"] for t in by_model} == {"lamp:2", "lamp:4"}

    group = iot.create_thing_group(thingGroupName="lamps", thingGroupProperties={"thingGroupDescription": "All of them"})
    assert group["thingGroupArn"] == arn("thinggroup", "lamps")
    iot.create_thing_group(thingGroupName="lamps-up", parentGroupName="lamps")
    iot.create_thing_group(thingGroupName="lamps-down", parentGroupName="lamps")
    for i in range(1, 6):
        iot.add_thing_to_thing_group(thingGroupName="lamps-up", thingName=f"lamp:{i}")
    iot.add_thing_to_thing_group(thingGroupArn=arn("thinggroup", "lamps-down"), thingArn=arn("thing", "lamp:1"))
    iot.add_thing_to_thing_group(thingGroupName="lamps", thingName="lamp:1")
    about = iot.describe_thing_group(thingGroupName="lamps-up")
    assert about["thingGroupMetadata"]["parentGroupName"] == "lamps" and about["thingGroupId"]
    assert iot.describe_thing_group(thingGroupName="lamps")["thingGroupProperties"]["thingGroupDescription"] == "All of them"
    assert {g["groupName"] for g in pages(iot, "list_thing_groups", "thingGroups")} >= {"lamps", "lamps-up", "lamps-down"}
    names = [g["groupName"] for g in pages(iot, "list_thing_groups", "thingGroups", parentGroup="lamps")]
    assert names == ["lamps-down", "lamps-up"]
    assert pages(iot, "list_things_in_thing_group", "things", thingGroupName="lamps-up") == [f"lamp:{i}" for i in range(1, 6)]
    of_thing = pages(iot, "list_thing_groups_for_thing", "thingGroups", thingName="lamp:1")
    assert {g["groupName"] for g in of_thing} == {"lamps", "lamps-up", "lamps-down"}
    iot.remove_thing_from_thing_group(thingGroupName="lamps", thingName="lamp:1")
    assert pages(iot, "list_things_in_thing_group", "things", thingGroupName="lamps") == []
    version = iot.describe_thing(thingName="lamp:5")["version"]
    with pytest.raises(iot.exceptions.VersionConflictException):
        iot.delete_thing(thingName="lamp:5", expectedVersion=version + 1)
    iot.delete_thing(thingName="lamp:5", expectedVersion=version)
    iot.delete_thing(thingName="lamp:5")  # what is gone is gone: no error
    iot.delete_thing(thingName="lamp:5", expectedVersion=version)
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_thing(thingName="lamp:5")


def test_a_things_version_is_that_of_its_record(iot):
    def described():
        return iot.describe_thing(thingName="record")

    iot.create_thing(thingName="record", thingTypeName="lamp", attributePayload={"attributes": {"model": "L-1", "site": "a"}})
    iot.create_thing_group(thingGroupName="records")
    iot.add_thing_to_thing_group(thingGroupName="records", thingName="record")
    iot.remove_thing_from_thing_group(thingGroupName="records", thingName="record")
    assert described()["version"] == 1, "groups are no part of it"
    iot.update_thing(thingName="record", attributePayload={"attributes": {"site": "b"}, "merge": True}, expectedVersion=1)
    assert described()["version"] == 2 and described()["attributes"] == {"model": "L-1", "site": "b"}
    with pytest.raises(iot.exceptions.VersionConflictException):
        iot.update_thing(thingName="record", removeThingType=True, expectedVersion=1)
    iot.update_thing(thingName="record", attributePayload={"attributes": {"model": ""}, "merge": True})
    assert described()["attributes"] == {"site": "b"}, "an empty value takes the attribute away"
    iot.update_thing(thingName="record", attributePayload={"attributes": {"model": "L-2"}})
    assert described()["attributes"] == {"model": "L-2"} and described()["thingTypeName"] == "lamp"
    iot.update_thing(thingName="record", thingTypeName="lantern")
    assert described()["thingTypeName"] == "lantern"
    iot.update_thing(thingName="record", removeThingType=True)
    assert "thingTypeName" not in described() and described()["version"] == 6
    assert isinstance(refused(iot.update_thing, thingName="record", thingTypeName="lamp", removeThingType=True),
                      iot.exceptions.InvalidRequestException)
    assert isinstance(refused(iot.update_thing, thingName="nobody"), iot.exceptions.ResourceNotFoundException)
    iot.delete_thing(thingName="record", expectedVersion=6)


def test_groups_are_deleted_when_nothing_hangs_on_them(iot):
    def groups():
        return {g["groupName"] for g in pages(iot, "list_thing_groups", "thingGroups", namePrefixFilter="going")}

    iot.create_thing_group(thingGroupName="going")
    iot.create_thing_group(thingGroupName="going-below", parentGroupName="going")
    iot.create_thing(thingName="stays")
    iot.add_thing_to_thing_group(thingGroupName="going-below", thingName="stays")
    below = refused(iot.delete_thing_group, thingGroupName="going")
    assert isinstance(below, iot.exceptions.InvalidRequestException) and "going-below" in below.response["Error"]["Message"]
    iot.create_security_profile(securityProfileName="going-profile", behaviors=BEHAVIORS[:1])
    iot.attach_security_profile(securityProfileName="going-profile", securityProfileTargetArn=arn("thinggroup", "going-below"))
    watched = refused(iot.delete_thing_group, thingGroupName="going-below")
    assert isinstance(watched, iot.exceptions.InvalidRequestException) and "going-profile" in watched.response["Error"]["Message"]
    iot.delete_security_profile(securityProfileName="going-profile")
    version = iot.describe_thing_group(thingGroupName="going-below")["version"]
    with pytest.raises(iot.exceptions.VersionConflictException):
        iot.delete_thing_group(thingGroupName="going-below", expectedVersion=version + 1)
    assert groups() == {"going", "going-below"}
    iot.delete_thing_group(thingGroupName="going-below", expectedVersion=version)
    assert pages(iot, "list_thing_groups_for_thing", "thingGroups", thingName="stays") == []
    iot.delete_thing_group(thingGroupName="going")
    iot.delete_thing_group(thingGroupName="going")
    assert groups() == set()
    iot.delete_thing(thingName="stays")


def test_profiles(iot):
    right = iot.validate_security_profile_behaviors(behaviors=BEHAVIORS)
    assert right["valid"] is True and right["validationErrors"] == []
    wrong = iot.validate_security_profile_behaviors(behaviors=[dict(BEHAVIORS[0], metric="aws:no-such")])
    assert not wrong["valid"] and "aws:no-such" in wrong["validationErrors"][0]["errorMessage"]

    created = iot.create_security_profile(
        securityProfileName="boto:listeners", securityProfileDescription="What lamps listen on", behaviors=BEHAVIORS,
        additionalMetricsToRetainV2=[{"metric": "aws:num-messages-sent"}])
    assert created["securityProfileArn"] == arn("securityprofile", "boto:listeners")
    described = iot.describe_security_profile(securityProfileName="boto:listeners")
    assert described["version"] == 1 and described["securityProfileDescription"] == "What lamps listen on"
    assert described["additionalMetricsToRetainV2"] == [{"metric": "aws:num-messages-sent"}]
    for sent, read in zip(BEHAVIORS, described["behaviors"]):
        assert read["criteria"]["value"] == sent["criteria"]["value"] and read["name"] == sent["name"]
        assert read["criteria"]["consecutiveDatapointsToAlarm"] == read["criteria"]["consecutiveDatapointsToClear"] == 1
    assert abs(described["creationDate"].timestamp() - time.time()) < 3600
    for name in ("boto-a", "boto-b", "boto-c"):
        iot.create_security_profile(securityProfileName=name, behaviors=BEHAVIORS[:1])
    listed = pages(iot, "list_security_profiles", "securityProfileIdentifiers")
    assert {p["name"] for p in listed} >= {"boto-a", "boto-b", "boto-c", "boto:listeners"}
    with_ports = pages(iot, "list_security_profiles", "securityProfileIdentifiers", metricName="aws:listening-tcp-ports")
    assert [p["name"] for p in with_ports] == ["boto:listeners"]

    targets = [arn("thinggroup", "lamps-up"), arn("thinggroup", "lamps-down"), f"arn:aws:iot:{REGION}:{ACCOUNT}:all/registered-things"]
    for target in targets:
        iot.attach_security_profile(securityProfileName="boto-a", securityProfileTargetArn=target)
    found = pages(iot, "list_targets_for_security_profile", "securityProfileTargets", securityProfileName="boto-a")
    assert {t["arn"] for t in found} == set(targets)

    def of_target(target, **more):
        mappings = pages(iot, "list_security_profiles_for_target", "securityProfileTargetMappings", securityProfileTargetArn=target, **more)
        return [(m["securityProfileIdentifier"]["name"], m["securityProfileIdentifier"]["arn"], m["target"]["arn"]) for m in mappings]

    a, b = (arn("securityprofile", name) for name in ("boto-a", "boto-b"))
    iot.attach_security_profile(securityProfileName="boto-b", securityProfileTargetArn=targets[0])
    assert of_target(targets[0]) == [("boto-a", a, targets[0]), ("boto-b", b, targets[0])]
    assert of_target(targets[2]) == [("boto-a", a, targets[2])]
    assert of_target(arn("thinggroup", "lamps")) == []
    assert of_target(arn("thinggroup", "lamps"), recursive=True) == [
        ("boto-a", a, targets[1]), ("boto-a", a, targets[0]), ("boto-b", b, targets[0])]
    iot.detach_security_profile(securityProfileName="boto-b", securityProfileTargetArn=targets[0])
    for target in targets:
        iot.detach_security_profile(securityProfileName="boto-a", securityProfileTargetArn=target)

    updated = iot.update_security_profile(securityProfileName="boto-b", behaviors=BEHAVIORS[1:2], expectedVersion=1)
    assert updated["version"] == 2 and [b["name"] for b in updated["behaviors"]] == ["known-ports"]
    with pytest.raises(iot.exceptions.VersionConflictException):
        iot.update_security_profile(securityProfileName="boto-b", behaviors=BEHAVIORS[:1], expectedVersion=1)
    assert iot.update_security_profile(securityProfileName="boto-b", deleteBehaviors=True).get("behaviors", []) == []
    for name in ("boto-a", "boto-b", "boto-c", "boto-c"):  # what is gone is gone: no error
        iot.delete_security_profile(securityProfileName=name)
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_security_profile(securityProfileName="boto-a")


def test_members_of_profiles_that_are_kept_for_their_owner(iot):
    """Export and alert targets: what was written is read back as it was."""
    sns = {"SNS": {"alertTargetArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts", "roleArn": f"arn:aws:iam::{ACCOUNT}:role/alerts"}}
    iot.create_security_profile(securityProfileName="boto-kept", alertTargets=sns, behaviors=[dict(BEHAVIORS[0], exportMetric=True)])
    kept = iot.describe_security_profile(securityProfileName="boto-kept")
    assert kept["alertTargets"] == sns and kept["behaviors"][0]["exportMetric"] is True
    assert iot.update_security_profile(securityProfileName="boto-kept", deleteAlertTargets=True).get("alertTargets", {}) == {}
    iot.delete_security_profile(securityProfileName="boto-kept")


def test_a_behavior_compared_with_the_group(iot):
    behavior = {"name": "b", "metric": "aws:num-messages-sent", "suppressAlerts": False, "criteria": {
        "comparisonOperator": "less-than-equals", "durationSeconds": 300, "consecutiveDatapointsToAlarm": 1,
        "consecutiveDatapointsToClear": 1, "statisticalThreshold": {"statistic": "p90"}}}
    assert iot.validate_security_profile_behaviors(behaviors=[behavior])["valid"]
    iot.create_security_profile(securityProfileName="boto-peers", behaviors=[behavior])
    (kept,) = iot.describe_security_profile(securityProfileName="boto-peers")["behaviors"]
    assert kept["criteria"] == behavior["criteria"]
    behavior["criteria"]["statisticalThreshold"]["statistic"] = "p42"
    answer = iot.validate_security_profile_behaviors(behaviors=[behavior])
    assert not answer["valid"] and "p42" in answer["validationErrors"][0]["errorMessage"]
    iot.delete_security_profile(securityProfileName="boto-peers")


@pytest.mark.parametrize("word, behavior", [
    ("mlDetectionConfig", {"name": "b", "metric": "aws:num-messages-sent", "criteria": {"mlDetectionConfig": {"confidenceLevel": "HIGH"}}}),
])
def test_what_is_not_evaluated_yet_is_refused(iot, word, behavior):
    """Stored without being evaluated it would look like a watch that is none."""
    def is_told(error):
        message = error.response["Error"]["Message"]
        return isinstance(error, iot.exceptions.InvalidRequestException) and word in message and "not supported yet" in message

    assert is_told(refused(iot.create_security_profile, securityProfileName="boto-later", behaviors=[behavior]))
    assert is_told(refused(iot.update_security_profile, securityProfileName="boto:listeners", behaviors=[behavior]))
    answer = iot.validate_security_profile_behaviors(behaviors=[behavior])
    assert not answer["valid"] and word in answer["validationErrors"][0]["errorMessage"]


def test_custom_metrics(iot):
    for name, kind in (("boto:cpu", "number"), ("boto:list", "number-list"), ("boto:text", "string-list"), ("boto:ip", "ip-address-list")):
        made = iot.create_custom_metric(metricName=name, metricType=kind, displayName=f"The {name}", clientRequestToken=f"t-{name}")
        assert made == {**made, "metricName": name, "metricArn": arn("custommetric", name)}
        described = iot.describe_custom_metric(metricName=name)
        assert described["metricType"] == kind and described["displayName"] == f"The {name}"
    assert set(pages(iot, "list_custom_metrics", "metricNames")) >= {"boto:cpu", "boto:list", "boto:text", "boto:ip"}
    values = {"boto:cpu": {"number": 90.5}, "boto:list": {"numbers": [1.0, 2.5]}, "boto:text": {"strings": ["on", "off"]},
              "boto:ip": {"cidrs": ["10.0.0.0/8"]}}
    operators = {"boto:cpu": "less-than", "boto:list": "in-set", "boto:text": "not-in-set", "boto:ip": "in-cidr-set"}
    iot.create_security_profile(securityProfileName="boto-cpu", behaviors=[
        {"name": metric, "metric": metric, "criteria": {"comparisonOperator": operators[metric], "value": value}}
        for metric, value in values.items()])
    described = iot.describe_security_profile(securityProfileName="boto-cpu")["behaviors"]
    assert {b["metric"]: b["criteria"]["value"] for b in described} == values
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.delete_custom_metric(metricName="boto:cpu")
    iot.delete_security_profile(securityProfileName="boto-cpu")
    iot.delete_custom_metric(metricName="boto:cpu")
    iot.delete_custom_metric(metricName="boto:cpu")


def test_dimensions(iot):
    dimension_scenario.run(iot, arn, pages, refused)


def test_certificates(fleetward, iot):
    keys = iot.create_keys_and_certificate(setAsActive=True)
    assert keys["keyPair"]["PrivateKey"].startswith("-----BEGIN") and keys["keyPair"]["PublicKey"].startswith("-----BEGIN")
    assert keys["certificateArn"] == arn("cert", keys["certificateId"])
    request = run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=lamp:2",
                  "-keyout", fleetward.folder / "csr.key").stdout
    signed = iot.create_certificate_from_csr(certificateSigningRequest=request, setAsActive=False)
    described = iot.describe_certificate(certificateId=signed["certificateId"])["certificateDescription"]
    assert described["status"] == "INACTIVE" and described["certificatePem"] == signed["certificatePem"]
    assert described["validity"]["notBefore"] < described["validity"]["notAfter"] and described["ownedBy"] == ACCOUNT
    attached = {keys["certificateArn"]} | {iot.create_keys_and_certificate(setAsActive=True)["certificateArn"] for _ in range(2)}
    for certificate in attached:
        iot.attach_thing_principal(thingName="lamp:1", principal=certificate)
    assert set(pages(iot, "list_thing_principals", "principals", thingName="lamp:1")) == attached
    assert pages(iot, "list_principal_things", "things", principal=keys["certificateArn"]) == ["lamp:1"]
    assert pages(iot, "list_principal_things", "things", principal=signed["certificateArn"]) == []
    assert {c["certificateArn"] for c in pages(iot, "list_certificates", "certificates")} >= attached | {signed["certificateArn"]}
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.delete_thing(thingName="lamp:1")
    iot.update_certificate(certificateId=signed["certificateId"], newStatus="ACTIVE")
    iot.update_certificate(certificateId=signed["certificateId"], newStatus="REVOKED")
    assert iot.describe_certificate(certificateId=signed["certificateId"])["certificateDescription"]["status"] == "REVOKED"
    with pytest.raises(iot.exceptions.CertificateStateException):
        iot.update_certificate(certificateId=signed["certificateId"], newStatus="ACTIVE")
    for certificate in attached:
        iot.detach_thing_principal(thingName="lamp:1", principal=certificate)
    assert pages(iot, "list_thing_principals", "principals", thingName="lamp:1") == []


def test_authorities(iot, tmp_path):
    authority_scenario.run(iot, tmp_path, arn, pages, refused)


def test_violations(fleetward, iot):
    fleetward.enrol("boto-1", "boto-2", "boto-3", group="boto")
    iot.attach_security_profile(securityProfileName="boto:listeners", securityProfileTargetArn=arn("thinggroup", "boto"))
    began = time.time()
    for thing in ("boto-1", "boto-2", "boto-3"):
        wait_for("its first report", lambda: publish(fleetward, thing, report(1), check=False).returncode == 0)
        publish(fleetward, thing, report(2, ports=(22, 23, 80, 443, 8080), destinations=("203.0.113.9:23",)))

    def mine(member, operation, **arguments):
        return pages(iot, operation, member, securityProfileName="boto:listeners", **arguments)

    active = wait_for("nine alarms", lambda: len(a := mine("activeViolations", "list_active_violations")) == 9 and a)
    values = {v["behavior"]["name"]: v["lastViolationValue"] for v in active if v["thingName"] == "boto-1"}
    assert values["few-listeners"] == {"count": 5} and set(values["known-ports"]["ports"]) >= {23}
    assert any("203.0.113.9" in c for c in values["known-peers"]["cidrs"])
    assert len(mine("activeViolations", "list_active_violations", listSuppressedAlerts=False)) == 6
    assert len(mine("activeViolations", "list_active_violations", thingName="boto-2", behaviorCriteriaType="STATIC")) == 3
    chosen = active[0]["violationId"]
    iot.put_verification_state_on_violation(violationId=chosen, verificationState="FALSE_POSITIVE", verificationStateDescription="A test")
    verified = mine("activeViolations", "list_active_violations", verificationState="FALSE_POSITIVE")
    assert [v["violationId"] for v in verified] == [chosen] and verified[0]["verificationStateDescription"] == "A test"
    for thing in ("boto-1", "boto-2", "boto-3"):
        publish(fleetward, thing, report(3))
    wait_for("no alarm", lambda: mine("activeViolations", "list_active_violations") == [])
    events = wait_for("their ends", lambda: len(e := mine("violationEvents", "list_violation_events", startTime=began - 60,
                                                          endTime=time.time() + 60)) == 18 and e)
    assert {e["violationEventType"] for e in events} == {"in-alarm", "alarm-cleared"}
    assert mine("violationEvents", "list_violation_events", startTime=began - 7200, endTime=began - 3600) == []
    iot.detach_security_profile(securityProfileName="boto:listeners", securityProfileTargetArn=arn("thinggroup", "boto"))


def test_endpoint(iot):
    for kind in ({"endpointType": "iot:Data-ATS"}, {"endpointType": "iot:Data"}, {}):
        assert iot.describe_endpoint(**kind)["endpointAddress"] == "localhost"
    for kind in ("iot:CredentialProvider", "iot:Jobs", "iot:Data-Beta", "x"):
        wrong = refused(iot.describe_endpoint, endpointType=kind)
        assert isinstance(wrong, iot.exceptions.InvalidRequestException) and "iot:Data-ATS" in wrong.response["Error"]["Message"]


def test_one_client_in_many_threads(iot):
    def life(i):
        name = f"thread-{i}"
        made = iot.create_thing(thingName=name)["thingId"]
        read = iot.describe_thing(thingName=name)["thingId"]
        iot.delete_thing(thingName=name)
        return made == read

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(life, range(64)))
    assert not [t for t in pages(iot, "list_things", "things") if t["thingName"].startswith("thread-")]


def refused(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value


def test_errors_are_of_the_classes_that_callers_catch(iot):
    e = iot.exceptions
    assert isinstance(refused(iot.describe_thing, thingName="nobody"), e.ResourceNotFoundException)
    assert isinstance(refused(iot.describe_custom_metric, metricName="nothing"), e.ResourceNotFoundException)
    assert isinstance(refused(iot.describe_certificate, certificateId="0" * 64), e.ResourceNotFoundException)
    assert isinstance(refused(iot.add_thing_to_thing_group, thingName="lamp:1", thingGroupName="nothing"), e.ResourceNotFoundException)
    assert isinstance(refused(iot.attach_thing_principal, thingName="nobody", principal=arn("cert", "0" * 64)), e.ResourceNotFoundException)
    assert isinstance(refused(iot.create_thing, thingName="lamp:1", attributePayload={"attributes": {"other": "1"}}),
                      e.ResourceAlreadyExistsException)
    assert isinstance(refused(iot.create_security_profile, securityProfileName="boto:listeners", behaviors=BEHAVIORS[:2]),
                      e.ResourceAlreadyExistsException)
    malformed = refused(iot.create_security_profile, securityProfileName="malformed", behaviors=[
        dict(BEHAVIORS[0], criteria={"comparisonOperator": "less-than", "value": {"ports": [1]}})])
    assert isinstance(malformed, e.InvalidRequestException) and "few-listeners" in malformed.response["Error"]["Message"]
    assert isinstance(refused(iot.list_things, nextToken="not one of ours"), e.InvalidRequestException)
    assert isinstance(refused(iot.attach_security_profile, securityProfileName="boto:listeners", securityProfileTargetArn="arn:aws:iot"),
                      e.InvalidRequestException)
    assert malformed.response["ResponseMetadata"]["RequestId"]


def ours():
    """Names of the operations that the tables have."""
    tables = "".join(p.read_text() for p in (ROOT / "services" / "api").glob("handlers_*.cpp"))
    found = set(re.findall(r'\{\{"([A-Z]\w+)",\s*"(?:GET|PUT|POST|PATCH|DELETE)"', tables))
    assert len(found) >= 30
    return found


# Names of what is nowhere, and what else the operations cannot do without.
ABSENT = {
    "thingName": "nobody", "thingGroupName": "nothing", "parentGroupName": "nothing", "parentGroup": "nothing",
    "name": "nothing", "type": "TOPIC_FILTER", "stringValues": ["a/#/b"],
    "securityProfileName": "nothing", "securityProfileTargetArn": arn("thinggroup", "nothing"), "metricName": "nothing",
    "principal": arn("cert", "0" * 64), "certificateId": "0" * 64, "newStatus": "INACTIVE", "violationId": "0" * 32,
    "verificationState": "BENIGN_POSITIVE", "behaviors": [dict(BEHAVIORS[0], metric="nothing")], "startTime": 0, "endTime": 1,
    "certificateSigningRequest": "nothing", "metricType": "nothing", "caCertificate": "nothing", "certificatePem": "nothing",
    "caCertificateId": "0" * 64,
}


def test_what_is_absent_is_told_by_an_error_that_the_operation_declares(iot):
    """Each operation with names that nobody has: the checker holds the errors against the model."""
    for operation in sorted(ours() - {"CreateThing", "CreateKeysAndCertificate"}):
        members = iot.meta.service_model.operation_model(operation).input_shape.members
        try:
            getattr(iot, xform_name(operation))(**{name: value for name, value in ABSENT.items() if name in members})
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 404), f"{operation}: {error}"


def test_a_target_has_at_most_five_profiles(iot):
    for i in range(6):
        iot.create_security_profile(securityProfileName=f"limit-{i}", behaviors=BEHAVIORS[:1])
    target = arn("thinggroup", "lamps-down")
    for i in range(5):
        iot.attach_security_profile(securityProfileName=f"limit-{i}", securityProfileTargetArn=target)
    assert isinstance(refused(iot.attach_security_profile, securityProfileName="limit-5", securityProfileTargetArn=target),
                      iot.exceptions.LimitExceededException)


def test_who_signs_wrongly_is_refused(fleetward, iot):
    def code(**keys):
        client = client_of(fleetward, **keys)
        return refused(client.list_things).response

    wrong_secret, unknown = code(AWS_SECRET_ACCESS_KEY="x" * 40), code(AWS_ACCESS_KEY_ID="AKIAAAAAAAAAAAAAAAAA")
    assert (wrong_secret["Error"]["Code"], wrong_secret["ResponseMetadata"]["HTTPStatusCode"]) == ("InvalidSignatureException", 403)
    assert (unknown["Error"]["Code"], unknown["ResponseMetadata"]["HTTPStatusCode"]) == ("UnrecognizedClientException", 403)


def test_what_is_not_there_says_so(iot):
    answer = refused(iot.list_streams).response
    assert answer["Error"]["Code"] == "UnknownOperationException" and answer["ResponseMetadata"]["HTTPStatusCode"] == 404


# What AWS's model has in these structures and no answer of ours: by what it belongs to.
NOT_SENT = {
    # Learned behaviors
    "BehaviorCriteria.mlDetectionConfig", "ActiveViolation.violationEventAdditionalInfo",
    "ViolationEvent.violationEventAdditionalInfo",
    # Export of metrics
    "MetricToRetain.exportMetric", "DescribeSecurityProfileResponse.metricsExportConfig",
    "UpdateSecurityProfileResponse.metricsExportConfig",
    # Dynamic groups, attributes of groups, billing groups
    "DescribeThingGroupResponse.indexName", "DescribeThingGroupResponse.queryString", "DescribeThingGroupResponse.queryVersion",
    "DescribeThingGroupResponse.status", "ThingGroupMetadata.rootToParentThingGroups", "ThingGroupProperties.attributePayload",
    "DescribeThingResponse.billingGroupName",
    # Transfer of certificates between accounts
    "Certificate.certificateMode", "CertificateDescription.generationId", "CertificateDescription.previousOwnedBy",
    "CertificateDescription.transferData",
    # Just-in-time registration
    "CACertificateDescription.generationId", "DescribeCACertificateResponse.registrationConfig",
    # A certificate has one thing at most
    "ListPrincipalThingsResponse.nextToken",
    # Replaced by additionalMetricsToRetainV2
    "DescribeSecurityProfileResponse.additionalMetricsToRetain", "UpdateSecurityProfileResponse.additionalMetricsToRetain",
}


def test_every_operation_was_called_and_sent_what_its_model_has(iot):
    """After all others of this file."""
    assert ours() <= iot.checker.operations, f"never with success: {sorted(ours() - iot.checker.operations)}"
    missing = iot.checker.not_sent(iot.meta.service_model)
    assert missing == NOT_SENT, f"new gaps: {sorted(missing - NOT_SENT)}; closed: {sorted(NOT_SENT - missing)}"
