"""The fleet simulator as a process, what was acknowledged to it, and the comparison with what the installation made of it."""
import collections
import json
import subprocess

from bus_file import records, report_id, reports
from harness import FLEETSIM, wait_for


class Simulator:
    """The fleet, and what was acknowledged to it."""

    def __init__(self, server, folder, name="fleet", devices=None, attacked=(), infected=(), interval=0.3,
                 port=None):
        self.acked, self.log = folder / f"{name}-acked.jsonl", folder / f"{name}.log"
        self.events = folder / f"{name}-events.jsonl"
        command = [FLEETSIM, "--devices-dir", devices or server.devices, "--host", "localhost", "--port", port or server.mqtt_port,
                   "--ca-file", server.ca, "--interval", interval, "--backoff", "0.1", "--backoff-max", "0.5",
                   "--custom-metric", "", "--acked", self.acked, "--events", self.events, "--quiet"]
        if attacked:
            command += ["--attack", ",".join(attacked), "--attack-reports", ",".join(f"{first}-{last}" for first, last in infected)]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=log)

    def acknowledged(self):
        """(thing, report_id) of every PUBACK that it read."""
        lines = self.acked.read_text().splitlines() if self.acked.exists() else []
        return [(r["thing"], r["report_id"]) for r in (json.loads(line) for line in lines if line.endswith("}"))]

    def told(self, event):
        """What it has said of that kind."""
        lines = self.events.read_text().splitlines() if self.events.exists() else []
        return [e for e in (json.loads(line) for line in lines if line.endswith("}")) if e["event"] == event]

    def stop(self):
        self.process.terminate()
        assert self.process.wait(timeout=30) == 0, self.log.read_text()[-2000:]


def outcomes(server):
    """Where the detector's reports ended, since its log began: a part of its checkpoints."""
    name = 'fleetward_detector_records{outcome="report_'
    return {key[len(name):-2]: int(n) for key, n in server.metrics().items() if key.startswith(name) and n}


def violation_events(server):
    """(thing, behavior, type, id of the deciding report) of each event on the bus, by event id. Repeats are the same bytes."""
    at = {(r.partition, r.offset): report_id(r) for r in reports(server)}
    by_id = {}
    for record in records(server, "fleetward.violations"):
        event = json.loads(record.value)
        assert by_id.setdefault(event["id"], record.value) == record.value, "two events with one id"
    events = [json.loads(value)["data"] for value in by_id.values()]
    return [(e["thingName"], e["behavior"]["name"], e["violationEventType"], at[e["partition"], e["offset"]]) for e in events]


def check_reports(server, told):
    """Acknowledged, on the bus, applied: each report once. Returns how many stand on the bus a second time: what was durable when
    its PUBACK was lost came again, and is a duplicate and no second application."""
    assert len(told) == len(set(told)), "a report was acknowledged twice"
    written = collections.Counter((r.key, report_id(r)) for r in reports(server))
    lost = set(told) - set(written)
    assert not lost, f"acknowledged and not there: {sorted(lost)}"
    for thing in {t for t, _ in written}:
        ids = sorted(n for t, n in written if t == thing)
        assert ids == list(range(1, len(ids) + 1)), f"{thing} left out a report: {ids}"
    repeats = written.total() - len(written)
    expected = {"applied": len(written), **({"duplicate": repeats} if repeats else {})}
    seen = {}

    def counted():
        seen["outcomes"] = outcomes(server)
        return sum(seen["outcomes"].values()) >= written.total()

    wait_for(f"the detector's counters to be {expected}", counted)
    if server.kafka:  # what moves from one detector to another is counted by both, or by none, for a moment
        wait_for(f"the detectors' counters to be {expected}", lambda: counted() and seen["outcomes"] == expected, every=0.5)
    assert seen["outcomes"] == expected, seen["outcomes"]
    return repeats


def await_rules(server):
    """Every partition's detector judges by the newest rules: its mark stands on the bus."""
    def marked():
        rules = [int(r.key.partition("/")[2]) for r in records(server, "fleetward.rules") if r.key.startswith("manifest/")]
        held = {}
        for record in records(server, "fleetward.devices"):
            held.setdefault(record.partition, 0)
            if record.kind == "mark":
                held[record.partition] = max(held[record.partition], json.loads(record.value)["manifest"])
        return rules and held and min(held.values()) == max(rules)

    wait_for("the newest rules in force", marked)
