"""What is really written on the topics is what schemas/ says, record by record."""
import json

import jsonschema
import pytest

import bus_file
from harness import ROOT, publish, report, wait_for

SCHEMAS = {p.name.removesuffix(".schema.json"): json.loads(p.read_text()) for p in (ROOT / "schemas").glob("*.schema.json")}
# Which schema a record's data has: by event type, or by kind for the plain records on `devices`.
BY_TYPE = {f"io.fleetward.{name}.v1": name for name in
           ("violation", "access", "certificate", "enforcement", "gateway", "action", "incident", "governor", "profile", "dimension", "manifest", "registry")}


def check(name, value):
    jsonschema.Draft202012Validator(SCHEMAS[name]).validate(value)


@pytest.fixture(scope="module")
def written(tmp_path_factory, alertmanager):
    """A bus on which everything of the main path was written."""
    import harness
    server = harness.Fleetward(tmp_path_factory.mktemp("schemas"), alertmanager).start()
    server.enrol(*(f"s{i}" for i in range(8)), group="schemas")
    server.request("PUT", "/v1/custom-metrics/cpu", {"type": "number"})
    server.request("PUT", "/v1/dimensions/own", {"topicFilters": ["$aws/things/${iot:ClientId}/#"]})
    server.request("PUT", "/v1/profiles/schemas", {"targets": ["group/schemas"], "behaviors": [
        {"name": "own", "metric": "aws:num-messages-sent", "metricDimension": {"dimensionName": "own"},
         "criteria": {"comparisonOperator": "less-than", "value": {"count": 1000}, "durationSeconds": 300}},
        {"name": "ports", "metric": "aws:listening-tcp-ports", "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22]}}}]})
    wait_for("a gateway that counts", lambda: server.metrics().get('fleetward_detector_records{outcome="counting_applied"}', 0) > 0)
    wait_for("a report", lambda: publish(server, "s0", report(1, ports=(22,)), check=False).returncode == 0)
    publish(server, "s0", report(2, ports=(22, 23)), check=False)
    action = wait_for("the revocation that waits", lambda: [
        a for a in server.get("/v1/actions?thing=s0")["actions"] if a["state"] == "awaiting_approval"])[0]
    server.cli("actions", "approve", action["id"], "--reason", "sure")
    wait_for("its proof", lambda: server.get(f"/v1/actions/{action['id']}")["state"] == "in_effect")
    server.cli("actions", "release", action["follows"], "--reason", "done")
    server.cli("governor", "stop", "--reason", "a test")
    server.cli("governor", "resume", "--reason", "it is over")
    wait_for("the incident on its topic", lambda: [i for i in server.get("/v1/incidents")["incidents"]])
    assert server.stop() == 0
    return bus_file.records(server)


def test_every_envelope_and_its_data(written):
    seen = set()
    for record in written:
        if record.topic == "fleetward.detector-state" or record.value is None:
            continue
        if record.topic == "fleetward.devices" and record.kind != "registry":
            if record.kind in ("begin", "tick", "mark", "cloud-metrics", "counting"):
                check(record.kind, json.loads(record.value))
                seen.add(record.kind)
            continue
        event = json.loads(record.value)
        check("cloud-event", event)
        assert event["subject"] == record.key
        check(BY_TYPE[event["type"]], event["data"])
        seen.add(BY_TYPE[event["type"]])
    deltas = [json.loads(r.value) for r in written if r.kind == "cloud-metrics"]
    assert any("dimensions" in delta for delta in deltas), "a part of the counts is of a dimension"
    assert seen >= set(BY_TYPE.values()) | {"begin", "mark", "cloud-metrics", "counting"}, "the scenario wrote one of each"


def test_a_wrong_record_is_told(written):
    data = next(r.data for r in written if r.topic == "fleetward.access")
    check("access", data)
    data["version"] = "one"
    with pytest.raises(jsonschema.ValidationError):
        check("access", data)
