"""kill -9 at random moments, twenty times in a row on one data folder, under load: nothing acknowledged is lost, each report is
applied once, and each violation, action and page that is due is there once.

The moments come from a seed that is printed; FLEETWARD_KILL_SEED sets it. Half of them are counted from the start of the process,
so that starting, too, is killed; half from the first report of a life that was acknowledged.
"""
import collections
import json
import os
import random
import subprocess

import pytest

from bus_file import records
from fleet_sim import Simulator, await_rules, check_reports, outcomes, violation_events
from harness import wait_for

KILLS = 20
DEVICES = 40
ATTACKED = [f"herd-{i:03}" for i in (1, 2, 3, 4)]
INFECTED = [(3 + 10 * i, 6 + 10 * i) for i in range(12)]
# Each is taken off the network when its report of that number says so.
VICTIMS = {f"victim-{i}": 5 + 20 * i for i in range(5)}
PORTS = {"name": "listeners", "metric": "aws:listening-tcp-ports",
         "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 554]}}}


def profile(group):
    return {"targets": [f"group/{group}"], "behaviors": [PORTS]}


def playbook():
    """An entry a victim, so that each is an incident of its own. The herd has none: its alarms come and go."""
    return json.dumps({"entries": [{"name": f"isolate-{v}", "match": {"profile": v}, "level": "isolate", "mode": "act",
                                    "severity": "critical"} for v in VICTIMS]})


def install(installation):
    server = installation(playbook=playbook()).start()
    server.cli("things", "enrol", "--count", str(DEVICES), "--prefix", "herd-", "--group", "herd", "--out", server.devices)
    server.request("PUT", "/v1/profiles/herd", profile("herd"))
    for victim in VICTIMS:
        server.cli("things", "enrol", victim, "--group", victim, "--out", server.folder / victim)
        server.request("PUT", f"/v1/profiles/{victim}", profile(victim))
    await_rules(server)
    return server


def go_on_for(server, seconds):
    """It lives until it is killed: an end of its own before that is none of ours."""
    with pytest.raises(subprocess.TimeoutExpired):
        server.process.wait(timeout=seconds)


def live_and_die(server, acknowledged, moments):
    """How many of the lives answered devices before they ended."""
    answering = 0
    for i in range(KILLS):
        before = len(acknowledged())
        if i > 0:
            server.spawn()
        if i % 2:  # some of these come before it is ready
            go_on_for(server, moments.uniform(0.02, 1.5))
        else:
            wait_for("reports to be acknowledged", lambda: len(acknowledged()) > before, 60)
            go_on_for(server, moments.uniform(0, 0.8))
        server.kill()
        answering += len(acknowledged()) > before
    server.start()
    return answering


def due_events():
    for thing in ATTACKED:
        for first, last in INFECTED:
            yield thing, "listeners", "in-alarm", first
            yield thing, "listeners", "alarm-cleared", last + 1
    for victim, first in VICTIMS.items():
        yield victim, "listeners", "in-alarm", first


def steps_on_the_bus(server, thing):
    """Each step of its actions, by event id: the relay may say one twice, in the same bytes."""
    by_id = {}
    for record in records(server, "fleetward.actions"):
        if record.value is not None and record.key == thing:
            event = json.loads(record.value)
            assert by_id.setdefault(event["id"], record.value) == record.value, "two steps with one id"
    return [json.loads(value)["data"] for value in by_id.values()]


def check_actions_and_pages(server):
    incidents = {}
    for victim in VICTIMS:
        action, = server.get(f"/v1/actions?thing={victim}")["actions"]
        assert (action["level"], action["state"]) == ("isolate", "in_effect")
        steps = collections.Counter(s["step"] for s in server.get(f"/v1/actions/{action['id']}")["steps"])
        for step in ("executing", "verifying", "verified"):
            assert steps[step] <= 1, steps
        assert steps["verified"] == 1, steps
        assert {s["action"]["id"] for s in steps_on_the_bus(server, victim)} == {action["id"]}
        incidents[victim] = server.incident_of(victim)["id"]
    assert len(set(incidents.values())) == len(VICTIMS)
    for victim, incident in incidents.items():
        wait_for(f"the page of {victim}", lambda i=incident: server.alertmanager.rung(i))
    assert not [a for thing in ATTACKED for a in server.get(f"/v1/actions?thing={thing}")["actions"]]
    open_incidents = {i["id"] for i in server.get("/v1/incidents")["incidents"]}
    assert open_incidents == set(incidents.values()), "an incident without its cause"
    assert {v: server.alertmanager.rung(i) for v, i in incidents.items()} == {v: ["firing"] for v in VICTIMS}


def test_killed_twenty_times_at_random(installation, tmp_path):
    seed = int(os.environ.get("FLEETWARD_KILL_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"FLEETWARD_KILL_SEED={seed}")
    server = install(installation)
    fleets = [Simulator(server, tmp_path, attacked=ATTACKED, infected=INFECTED, interval=0.1)]
    fleets += [Simulator(server, tmp_path, name=victim, devices=server.folder / victim, attacked=[victim], infected=[(first, 9999)],
                         interval=0.1)
               for victim, first in VICTIMS.items()]

    def acknowledged():
        return [report for fleet in fleets for report in fleet.acknowledged()]

    try:
        answering = live_and_die(server, fleets[0].acknowledged, random.Random(seed))
        assert answering >= KILLS / 2, "most lives ended before they did anything: the moments do not fit this machine"
        last = INFECTED[-1][1] + 1
        wait_for("the last breach and its end", lambda: {(t, last) for t in ATTACKED} <= set(fleets[0].acknowledged()), 60)
        for victim in VICTIMS:
            wait_for(f"{victim} to be off the network, proven", lambda v=victim: [
                a for a in server.get(f"/v1/actions?thing={v}")["actions"] if a["state"] == "in_effect"], 60)
    finally:
        for fleet in fleets:
            fleet.stop()
    check_reports(server, acknowledged())
    due = sorted(due_events())
    wait_for("the last of the events on the bus", lambda: len(violation_events(server)) >= len(due))
    assert sorted(violation_events(server)) == due
    check_actions_and_pages(server)
    counted = outcomes(server)
    assert server.stop() == 0
    server.start()
    wait_for("the detector's state", lambda: outcomes(server) == counted)
    check_actions_and_pages(server)
    assert server.stop() == 0
