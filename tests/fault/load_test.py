"""kill -9 under load: what was acknowledged is there, each report is applied once, each breach is raised once; the sums agree.

Compared exactly: what devices say was acknowledged, what stands on the bus, and what the detector says it made of it.
"""
import collections
import json
import subprocess

from bus_file import records, report_id, reports
from harness import FLEETSIM, wait_for

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


class Simulator:
    """The fleet, and what was acknowledged to it."""

    def __init__(self, server, folder):
        self.acked, self.log = folder / "acked.jsonl", folder / "fleetsim.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [FLEETSIM, "--devices-dir", server.devices, "--host", "localhost", "--port", str(server.mqtt_port),
                 "--ca-file", server.ca, "--interval", "0.3", "--backoff", "0.1", "--backoff-max", "0.5", "--custom-metric", "",
                 "--attack", ",".join(ATTACKED), "--attack-reports", ",".join(f"{first}-{last}" for first, last in INFECTED),
                 "--acked", self.acked, "--events", folder / "events.jsonl", "--quiet"],
                stdout=subprocess.DEVNULL, stderr=log)

    def acknowledged(self):
        """(thing, report_id) of every PUBACK that it read."""
        lines = self.acked.read_text().splitlines() if self.acked.exists() else []
        return [(r["thing"], r["report_id"]) for r in (json.loads(line) for line in lines if line.endswith("}"))]

    def stop(self):
        self.process.terminate()
        assert self.process.wait(timeout=30) == 0, self.log.read_text()[-2000:]


def outcomes(server):
    """Where the detector's reports ended, since its log began: a part of its checkpoints."""
    name = 'fleetward_detector_records{outcome="report_'
    return {key[len(name):-2]: int(n) for key, n in server.metrics().items() if key.startswith(name) and n}


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


def violation_events(server):
    """(thing, behavior, type, id of the deciding report) of each event on the bus, by event id. Repeats are the same bytes."""
    at = {(r.partition, r.offset): report_id(r) for r in reports(server)}
    by_id = {}
    for record in records(server, "fleetward.violations"):
        event = json.loads(record.value)
        assert by_id.setdefault(event["id"], record.value) == record.value, "two events with one id"
    events = [json.loads(value)["data"] for value in by_id.values()]
    return [(e["thingName"], e["behavior"]["name"], e["violationEventType"], at[e["partition"], e["offset"]]) for e in events]


def due_events():
    for thing in ATTACKED:
        for behavior in PROFILE["behaviors"]:
            for first, last in INFECTED:
                yield thing, behavior["name"], "in-alarm", first
                yield thing, behavior["name"], "alarm-cleared", last + 1


def check_reports(server, told):
    """Acknowledged, on the bus, applied: each report once."""
    assert len(told) == len(set(told)), "a report was acknowledged twice"
    written = collections.Counter((r.key, report_id(r)) for r in reports(server))
    lost = set(told) - set(written)
    assert not lost, f"acknowledged and not there: {sorted(lost)}"
    for thing in {t for t, _ in written}:
        ids = sorted(n for t, n in written if t == thing)
        assert ids == list(range(1, len(ids) + 1)), f"{thing} left out a report: {ids}"
    # What was durable when its PUBACK died with the process came again, and is a duplicate and no second application.
    repeats = written.total() - len(written)
    assert repeats >= 1, "the life that ended between log and PUBACK left none"
    expected = {"applied": len(written), "duplicate": repeats}
    wait_for(f"the detector's counters to be {expected}", lambda: sum(outcomes(server).values()) >= written.total())
    assert outcomes(server) == expected


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
    simulator = Simulator(server, tmp_path)
    try:
        live_and_die(server, simulator)
    finally:
        simulator.stop()
    check_reports(server, simulator.acknowledged())
    check_violations(server)
    # The counters are the checkpoint's: an orderly stop and another start change none.
    counted = outcomes(server)
    assert server.stop() == 0
    server.start()
    wait_for("the detector's state", lambda: outcomes(server) == counted)
    assert server.stop() == 0
