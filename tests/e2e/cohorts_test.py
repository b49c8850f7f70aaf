"""A behavior that compares with the group's percentile, made by the aws command line: the one far out alarms, its peers do not, and a
replay of the log gives the same. Panes are of five minutes, so the process's wall clock is stepped over their ends."""
import json
import time

import jsonschema
import pytest

from bus_file import copy_of, records
from faked_clock import FakedClock, clock_of_1970
from harness import ACCOUNT, FLEETWARD, REGION, ROOT, publish, report, run, wait_for

PANE = 300
PEERS = [f"peer-{i:02}" for i in range(12)]
OUT = PEERS[0]
BEHAVIORS = json.dumps([{"name": "many-listeners", "metric": "aws:num-listening-tcp-ports", "criteria": {
    "comparisonOperator": "less-than-equals", "durationSeconds": PANE, "statisticalThreshold": {"statistic": "p90"}}}])
COHORT = f"peers/aws:num-listening-tcp-ports/{PANE}"


@pytest.fixture
def clock(tmp_path):
    return FakedClock(tmp_path)


def to_begin_of_pane():
    """From now to the nearest one: what a test does in a pane has the whole of it."""
    over = int(time.time()) % PANE
    return (PANE if over > PANE // 2 else 0) - over + 1


def make_profile(server):
    server.aws("create-security-profile", "--security-profile-name", "peers", "--behaviors", BEHAVIORS)
    server.aws("attach-security-profile", "--security-profile-name", "peers", "--security-profile-target-arn",
               f"arn:aws:iot:{REGION}:{ACCOUNT}:thinggroup/peers")


def all_report(server, number):
    for i, thing in enumerate(PEERS):
        ports = tuple(range(22, 24 + i % 3))  # two to four
        wait_for(f"{thing}'s report to be accepted",
                 lambda t=thing, p=ports: publish(server, t, report(number, ports=p), check=False).returncode == 0)


def is_alarmed(server, thing):
    return server.get(f"/v1/violations?thing={thing}")["violations"]


def test_the_one_far_out_alarms(installation, clock, tmp_path):
    start = to_begin_of_pane()
    clock.set(start)
    server = installation(mode="observe").start(env=clock.env())
    server.enrol(*PEERS, group="peers")
    make_profile(server)
    wait_for("the profile in force", lambda: server.metrics().get('fleetward_detector_records{outcome="mark_applied"}', 0) > 0)
    for pane in range(2):
        clock.set(start + pane * PANE)
        all_report(server, pane + 1)
        clock.set(start + (pane + 1) * PANE)
        publish(server, PEERS[1], report(100 + pane, ports=(22, 23)), check=False)  # partitions without one hear a tick
        wait_for("a snapshot of the pane", lambda n=pane + 1: server.metrics().get("fleetward_cohorts_snapshots_total", 0) >= n, 90)
    newest = max(r.data["number"] for r in records(server, "fleetward.cohorts"))
    wait_for("the last of them to apply", lambda: is_applied_everywhere(server, newest), 60)

    publish(server, OUT, report(7, ports=range(1000, 1060)))
    publish(server, PEERS[5], report(7, ports=(22, 23, 24, 25)))
    (violation,) = wait_for("the alarm", lambda: is_alarmed(server, OUT))
    assert "at most the fleet's p90, 4, of 12 devices (snapshot " in violation["expected"] and violation["seen"] == "60", violation
    clock.set(start)
    active = server.aws("list-active-violations", "--behavior-criteria-type", "STATISTICAL")["activeViolations"]
    assert [v["thingName"] for v in active] == [OUT], "and none of its peers"
    assert active[0]["behavior"]["criteria"]["statisticalThreshold"] == {"statistic": "p90"}
    publish(server, OUT, report(8, ports=(22, 23)))
    wait_for("its end", lambda: not is_alarmed(server, OUT))
    assert server.stop() == 0

    check_records(server)
    copy = copy_of(server, tmp_path)
    live = run(FLEETWARD, "replay", "--recorded", copy).stdout
    assert live == run(FLEETWARD, "replay", copy, env=clock_of_1970(tmp_path)).stdout and len(live.splitlines()) == 2


def is_applied_everywhere(server, number):
    """A mark in each partition names it: it judges what is appended from now on."""
    devices = records(server, "fleetward.devices")
    marked = {r.partition for r in devices if r.kind == "cohorts" and number in [s["number"] for s in json.loads(r.value)["snapshots"]]}
    return marked == {r.partition for r in devices if r.kind == "begin"}


def check_records(server):
    schemas = {name: json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text())
               for name in ("cohort-sample", "cohort-snapshot", "cohorts", "cloud-event")}
    seen = []
    for topic, name in (("fleetward.cohort-samples", "cohort-sample"), ("fleetward.cohorts", "cohort-snapshot")):
        for record in records(server, topic):
            jsonschema.Draft202012Validator(schemas["cloud-event"]).validate(json.loads(record.value))
            jsonschema.Draft202012Validator(schemas[name]).validate(record.data)
            seen.append((name, record.data["cohort"]))
    for record in records(server, "fleetward.devices"):
        if record.kind == "cohorts":
            jsonschema.Draft202012Validator(schemas["cohorts"]).validate(json.loads(record.value))
            seen.append(("cohorts", json.loads(record.value)["snapshots"][0]["cohort"]))
    assert set(seen) == {(name, COHORT) for name in ("cohort-sample", "cohort-snapshot", "cohorts")}
    sources = [(r.data["partition"], r.data["pane"]) for r in records(server, "fleetward.cohort-samples")]
    assert len(sources) == len(set(sources)), "each partition has told each pane once"
