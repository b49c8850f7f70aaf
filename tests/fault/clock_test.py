"""The wall clock stepped hours forward, days forward and back before the start, on a real process under load: the sessions go on,
each report is judged once, holds and pages neither end nor come again, and what needs a clock works again when it is right."""
import collections
import json

import pytest

from bus_file import records, reports
from faked_clock import FakedClock
from fleet_sim import Simulator, await_rules, check_reports, violation_events
from harness import publish, report, wait_for
from mqtt_client import MqttClient
from pager import seconds_left

HOUR, DAY = 3600, 86_400
DEVICES = 20
ATTACKED = ["tick-001", "tick-002"]
INFECTED = [(3 + 8 * i, 6 + 8 * i) for i in range(60)]
PROFILE = {"targets": ["group/tick"], "behaviors": [
    {"name": "listeners", "metric": "aws:listening-tcp-ports",
     "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 554, 8883]}}}]}
# Held for an hour, by a person's clock.
PLAYBOOK = """\
entries:
  - {name: hold, match: {profile: held}, level: isolate, mode: act, severity: critical, lease_minutes: 60}
"""
STEPS = [2 * HOUR, 0, -DAY, 0, 40 * DAY, 0, -90 * DAY, 0]
HELD = ["held", *[f"live-{i}" for i in range(len(STEPS))]]


@pytest.fixture
def clock(tmp_path):
    return FakedClock(tmp_path)


def install(installation, clock):
    server = installation(playbook=PLAYBOOK)
    server.start(env=clock.env())
    server.cli("things", "enrol", "--count", str(DEVICES), "--prefix", "tick-", "--group", "tick", "--out", server.folder / "fleet")
    for thing in HELD:  # a group each: the governor allows a part of a group
        server.enrol(thing, group=thing)
    server.request("PUT", "/v1/profiles/tick", PROFILE)
    server.request("PUT", "/v1/profiles/held", {**PROFILE, "targets": [f"group/{thing}" for thing in HELD]})
    await_rules(server)
    return server


def action_of(server, thing):
    actions = server.get(f"/v1/actions?thing={thing}")["actions"]
    assert len(actions) <= 1, actions
    return actions[0] if actions else None


def is_over(client):
    try:
        client.read()
    except TimeoutError:
        raise
    except OSError:
        return True
    return False


def hold(server, client):
    """A breach over a session that stands: it is cut, whatever the clock says."""
    client.publish(f"$aws/things/{client.thing}/defender/metrics/json", report(1, ports=(22, 48101)), 1)
    wait_for("the end of its session", lambda: is_over(client))
    action = wait_for(f"the action against {client.thing}", lambda: action_of(server, client.thing))
    assert action["state"] in ("executing", "verifying", "in_effect"), action


def check_pages(server, things):
    """One for the incident, still firing, and good for minutes by the receiver's clock."""
    incidents = {server.incident_of(thing)["id"] for thing in things}
    for incident in incidents:
        wait_for("the page", lambda i=incident: server.alertmanager.rung(i))
        wait_for("the page to be sent again, for some minutes", lambda i=incident: [
            a for a in server.alertmanager.alerts_of(i) if 60 < seconds_left(a) < 900], 40)
        assert server.alertmanager.rung(incident) == ["firing"]


def test_wall_clock_stepped(installation, clock, tmp_path):
    server = install(installation, clock)
    publish(server, "held", report(1, ports=(22, 48101)), check=False)
    wait_for("the hold, proven", lambda: (a := action_of(server, "held")) and a["state"] == "in_effect")
    clients = [MqttClient(server, thing) for thing in HELD[1:]]
    for client in clients:
        wait_for(f"{client.thing} to be let in", lambda c=client: c.connect().code == 0)
    simulator = Simulator(server, tmp_path, devices=server.folder / "fleet", attacked=ATTACKED, infected=INFECTED, interval=0.1)
    held = ["held"]
    try:
        wait_for("reports under way", lambda: len(simulator.acknowledged()) >= DEVICES * 5)
        for step, client in zip(STEPS, clients):
            clock.set(step)
            before = len(simulator.acknowledged())
            wait_for("reports to go on", lambda: len(simulator.acknowledged()) >= before + DEVICES * 10)
            assert server.readiness()[0] == 200, server.readiness()
            hold(server, client)
            held.append(client.thing)
            # Its certificate may be of another time; who is held stays out in any case.
            assert MqttClient(server, "held").connect().code in (0x8A, None)
            check_pages(server, held)
        for thing in held:
            wait_for(f"{thing} to be off the network, proven", lambda t=thing: action_of(server, t)["state"] == "in_effect", 60)
    finally:
        simulator.stop()
    assert not simulator.told("disconnected"), "sessions stand"
    for thing in held:
        steps = [s["step"] for s in server.get(f"/v1/actions/{action_of(server, thing)['id']}")["steps"]]
        assert steps.count("verified") == 1 and "released" not in steps, steps
    check_detection(server, simulator, held)
    assert server.stop() == 0
    server.start()
    check_pages(server, held)
    assert server.stop() == 0


def check_detection(server, simulator, held):
    """Nothing lost, nothing twice; and the detection's clock has never gone back."""
    check_reports(server, simulator.acknowledged())
    written = collections.Counter(r.key for r in reports(server))
    due = [(thing, "listeners", "in-alarm", 1) for thing in held]
    for thing in ATTACKED:
        for first, last in INFECTED:
            due += [(thing, "listeners", "in-alarm", first)] if first <= written[thing] else []
            due += [(thing, "listeners", "alarm-cleared", last + 1)] if last < written[thing] else []
    wait_for("the last of the events on the bus", lambda: len(violation_events(server)) >= len(due))
    assert sorted(violation_events(server)) == sorted(due)
    events = [json.loads(r.value)["data"] for r in records(server, "fleetward.violations")]
    for partition in {e["partition"] for e in events}:
        times = [e["violationEventTime"] for e in sorted(events, key=lambda e: e["offset"]) if e["partition"] == partition]
        assert times == sorted(times)
