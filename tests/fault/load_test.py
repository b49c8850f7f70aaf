"""kill -9 under load: what was acknowledged is there, each report is applied once, each breach is raised once; the sums agree.

Compared exactly: what devices say was acknowledged, what stands on the bus, and what the detector says it made of it.
"""
from fleet_sim import Simulator, check_reports, outcomes, violation_events
from harness import wait_for

DEVICES = 60
ATTACKED = [f"load-{i:03}" for i in (1, 2, 3, 4, 5, 6)]
# Infected in these reports of theirs, so there is something to raise and to clear all along.
INFECTED = [(3, 4), (7, 8), (11, 12), (15, 16), (19, 20)]
LAST = INFECTED[-1][1] + 1
PROFILE = {
    "behaviors": [
        {"name": "listeners", "metric": "aws:listening-tcp-ports",
         "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 554]}}},
        {"name": "connections", "metric": "aws:num-established-tcp-connections",
         "criteria": {"comparisonOperator": "less-than", "value": {"count": 50}}}],
    "targets": ["group/load"],
}
# How each life but the last ends: killed from outside while all is under way, or where it hurts.
ENDS = ["outside", "gateway.after_append:180", "detector.after_violation:8", "detector.before_commit:6"]


def live_and_die(server, simulator):
    for end in ENDS:
        if end == "outside":
            wait_for("reports under way", lambda: len(simulator.acknowledged()) >= 4 * DEVICES, 60)
            server.kill()
        else:
            server.start(faults=end)
            assert server.wait_dead(60) == -9, end
    server.start()
    wait_for("the last breach and its end", lambda: {(t, LAST) for t in ATTACKED} <= set(simulator.acknowledged()), 60)


def due_events():
    for thing in ATTACKED:
        for behavior in PROFILE["behaviors"]:
            for first, last in INFECTED:
                yield thing, behavior["name"], "in-alarm", first
                yield thing, behavior["name"], "alarm-cleared", last + 1


def check_violations(server):
    due = sorted(due_events())
    wait_for("the last of the events on the bus", lambda: len(violation_events(server)) >= len(due))
    for thing in ATTACKED:
        mine = [event[:3] for event in due if event[0] == thing]
        shown = wait_for(f"the events of {thing}", lambda: (
            events := server.get(f"/v1/violation-events?thing={thing}&limit=100")["events"]) and len(events) >= len(mine) and events)
        assert sorted((e["thingName"], e["behavior"]["name"], e["violationEventType"]) for e in shown) == mine
    assert sorted(violation_events(server)) == due


def test_killed_under_load(installation, tmp_path):
    server = installation(mode="observe").start()
    server.cli("things", "enrol", "--count", str(DEVICES), "--prefix", "load-", "--group", "load", "--out", server.devices)
    server.request("PUT", "/v1/profiles/load", PROFILE)
    simulator = Simulator(server, tmp_path, attacked=ATTACKED, infected=INFECTED)
    try:
        live_and_die(server, simulator)
    finally:
        simulator.stop()
    repeats = check_reports(server, simulator.acknowledged())
    assert repeats >= 1, "the life that ended between log and PUBACK left none"
    check_violations(server)
    # The counters are the checkpoint's: an orderly stop and another start change none.
    counted = outcomes(server)
    assert server.stop() == 0
    server.start()
    wait_for("the detector's state", lambda: outcomes(server) == counted)
    assert server.stop() == 0
