"""Reports that devices publish to an operator's own broker: they reach detection, and what cannot be used is a dead letter that can
be replayed. Nothing that the broker acknowledged is lost when the collector or the broker is killed or stopped under load."""
import itertools
import json

import pytest

from bus_file import records, report_id, reports
from harness import report, wait_for
from mosquitto_broker import Mosquitto, Publisher

THINGS = 16
PROFILE = {
    "behaviors": [
        {"name": "known-listeners", "metric": "aws:listening-tcp-ports",
         "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 8883]}}},
        {"name": "cool", "metric": "celsius", "criteria": {"comparisonOperator": "less-than", "value": {"number": 60}}},
    ],
    "targets": ["group/hall"],
}
MAPPING = """\
report_id: /seq
metrics:
  - {name: celsius, path: /sensors/0/celsius, type: number, required: true}
"""


@pytest.fixture
def broker(tmp_path):
    mosquitto = Mosquitto(tmp_path / "mosquitto").start()
    yield mosquitto
    mosquitto.stop()


def sources(broker, **more):
    common = {"host": "localhost", "port": broker.tls_port, "ca_file": str(broker.ca), "user": "collector",
              "password_file": str(broker.folder / "collector.password")}
    return {"mqtt": [
        dict(common, name="hall", thing="topic devices/{thing}/metrics", vouched=True, receive_maximum=100),
        dict(common, name="sensors", thing="field /device", filters=["sensors/#"], mapping=str(broker.folder / "mapping.yaml"), **more),
    ]}


@pytest.fixture
def collecting(installation, broker):
    (broker.folder / "mapping.yaml").write_text(MAPPING)
    server = installation(settings={"collector": sources(broker)}).start()
    server.request("PUT", "/v1/custom-metrics/celsius", {"type": "number"})
    server.enrol(*(f"d{i}" for i in range(1, THINGS + 1)), group="hall")
    server.request("PUT", "/v1/profiles/hall", PROFILE)
    return server


def counted(server, source, result="taken"):
    return server.metrics().get(f'fleetward_collector_messages_total{{source="mqtt/{source}",result="{result}"}}', 0)


def violations(server, thing):
    return server.get(f"/v1/violations?thing={thing}")["violations"]


def letters(server, **query):
    asked = "&".join(f"{k}={v}" for k, v in query.items())
    return server.get(f"/v1/dead-letters?{asked}")["deadLetters"]


def rules_in_force(server, thing):
    """A report that breaks no rule has been judged by the profile: then the next one is, too."""
    devices = records(server, "fleetward.devices")
    partition = next((r.partition for r in devices if r.key == thing), None)
    marks = [json.loads(r.value)["manifest"] for r in devices if r.partition == partition and r.kind == "mark"]
    manifests = {r.key: r.data for r in records(server, "fleetward.rules") if r.key.startswith("manifest/")}
    return bool(marks) and any(p["profile"] == "hall" and p["targets"] for p in manifests[f"manifest/{marks[-1]}"]["profiles"])


def test_reports_through_a_broker_reach_an_alarm(collecting, broker):
    server = collecting
    wait_for("the rules", lambda: rules_in_force(server, "d1"))
    broker.publish("devices/d1/metrics", report(1))
    broker.publish("devices/d1/metrics", report(2, ports=(22, 48101)))
    broker.publish("sensors/hall/3", json.dumps({"device": "d2", "seq": 7, "sensors": [{"celsius": 71.5}]}))
    (alarm,) = wait_for("the alarm of the report", lambda: violations(server, "d1"))
    assert alarm["behavior"]["name"] == "known-listeners"
    (alarm,) = wait_for("the alarm of the mapped message", lambda: violations(server, "d2"))
    assert alarm["behavior"]["name"] == "cool"
    taken = {r.key: r for r in reports(server)}
    assert taken["d2"].headers["fw-origin"] == "mqtt/sensors/sensors/hall/3" and taken["d2"].headers["fw-claimed"] == "1"
    assert taken["d1"].headers["fw-origin"] == "mqtt/hall/devices/d1/metrics" and "fw-claimed" not in taken["d1"].headers
    assert counted(server, "hall") == 2 and counted(server, "sensors") == 1
    gateways = {g["instance"]: g for g in server.get("/v1/gateways")["gateways"]}
    assert gateways["collector-1"]["collector"] and gateways["collector-1"]["standing"] == "live"


def test_what_cannot_be_used_is_listed_shown_and_replayed(collecting, broker):
    server = collecting
    broker.publish("sensors/a", json.dumps({"device": "late", "seq": 1, "sensors": [{"celsius": 20}]}))
    broker.publish("sensors/b", "{")
    found = {le["reason"]: le for le in wait_for("both letters", lambda: len(letters(server)) == 2 and letters(server))}
    unknown, broken = found["unknown-thing"], found["bad-payload"]
    assert unknown["why"] == "late is not registered" and unknown["source"] == "mqtt/sensors" and unknown["topic"] == "sensors/a"
    listed = server.cli("dead-letters", "list").stdout
    assert unknown["id"] in listed and broken["id"] in listed
    assert '"device": "late"' in server.cli("dead-letters", "show", unknown["id"]).stdout

    failed = server.cli("dead-letters", "replay", "--all", "--why", "try", check=False)
    assert failed.returncode == 1 and failed.stdout == "0 of 2 taken\n"
    assert "late is not registered" in failed.stderr
    server.enrol("late", group="hall")
    wait_for("the thing at the collector", lambda: server.cli(
        "dead-letters", "replay", unknown["id"], "--why", "registered", check=False).stdout == "1 of 1 taken\n")
    again = server.cli("dead-letters", "replay", unknown["id"], "--why", "once more")
    assert again.stdout == "1 of 1 taken\n"
    assert [r.key for r in reports(server)] == ["late"], "what was taken is not sent again"
    (shown,) = letters(server, replay="taken")
    assert shown["id"] == unknown["id"] and shown["replays"] >= 2 and shown["replayBy"]
    (other,) = letters(server, replay="bad-payload")
    assert other["id"] == broken["id"]


def things_and_reports():
    """Endless: (number, topic, payload), each number once; every tenth is no report."""
    for number in itertools.count(1):
        payload = b"no JSON" if number % 10 == 0 else report(number).encode()
        yield number, f"devices/d{number % THINGS + 1}/metrics", payload


@pytest.mark.parametrize("blow", ["collector", "collector-after-append", "broker"])
def test_nothing_acknowledged_is_lost_under_load(collecting, broker, blow):
    server = collecting
    if blow == "collector-after-append":
        assert server.stop() == 0
        server.start()
    publisher = Publisher(broker, things_and_reports())
    try:
        wait_for("load", lambda: counted(server, "hall") > 100)
        if blow == "collector":
            server.kill()
            server.start()
        elif blow == "collector-after-append":
            server.kill()
            server.spawn(faults="collector.after_append")  # dies with what it took durable and not acknowledged
            assert server.wait_dead() == -9
            server.start()
        else:
            broker.restart()
        before = len(publisher.acknowledged)
        wait_for("more load", lambda: len(publisher.acknowledged) > before + 200, 60)
    finally:
        publisher.finish()
    acknowledged = set(publisher.acknowledged)
    good = {n for n in acknowledged if n % 10}
    wait_for("every report on the bus", lambda: good <= {report_id(r) for r in reports(server)}, 60)
    wait_for("a letter for each that is none", lambda: len(records(server, "fleetward.dead-letters")) >= len(acknowledged - good), 60)

    taken = reports(server)
    first = {}
    for r in taken:
        first.setdefault(report_id(r), r)
        assert first[report_id(r)] is r or r.headers.get("fw-dup") == "1", "what came twice is marked"
    wait_for("all of it at the detector", lambda: _detected(server) == len(taken))
    assert server.metrics()['fleetward_detector_records{outcome="report_applied"}'] == len(first), "each counts once"
    assert _detected(server, "report_duplicate") == len(taken) - len(first)
    assert server.stop() == 0


def _detected(server, *outcomes):
    metrics = server.metrics()
    names = outcomes or ("report_applied", "report_duplicate", "report_rejected_payload", "report_rejected_thing")
    return sum(metrics[f'fleetward_detector_records{{outcome="{name}"}}'] for name in names)


def test_a_broker_that_is_away_is_said_and_found_again(collecting, broker):
    server = collecting
    broker.stop()
    try:
        status, text = wait_for("not ready", lambda: server.readiness()[0] == 503 and server.readiness())
        assert "collector: not ready" in text and "mqtt/hall" in text
    finally:
        broker.start()
    wait_for("ready again", lambda: server.readiness()[0] == 200, 60)
    broker.publish("devices/d1/metrics", report(5))
    wait_for("the report", lambda: counted(server, "hall") == 1)
