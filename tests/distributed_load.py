"""Load on a distributed installation while something of it fails, and the count afterwards: what was lost, what was done twice.

A herd reports all the time, and some of it is infected now and then, so that alarms come and go. Victims are struck at a moment
of the test's choosing: each must be off the network, by one action, with one page.
"""
import collections
import json

from bus_file import records, report_id, reports
from fleet_sim import Simulator, await_rules, check_reports, violation_events
from harness import wait_for

BEHAVIOR = {"name": "listeners", "metric": "aws:listening-tcp-ports",
            "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 554]}}}
INFECTED = [(3 + 8 * i, 6 + 8 * i) for i in range(400)]
STRUCK_AT = 3  # the report of a victim that gives it away


def playbook(victims):
    """An entry a victim, so that each is an incident of its own. Herds have none: their alarms come and go."""
    return json.dumps({"entries": [{"name": f"isolate-{v}", "match": {"profile": v}, "level": "isolate", "mode": "act",
                                    "severity": "critical"} for v in victims]})


class Load:
    """`with Load(...) as load:` reports until its end; then check()."""

    def __init__(self, server, folder, name, devices=20, attacked=3, victims=(), interval=0.25):
        self.server, self.folder, self.name, self.interval = server, folder, name, interval
        self.devices, self.victims, self.struck = folder / name, list(victims), []
        self.attacked = [f"{name}-{i:03}" for i in range(1, attacked + 1)]
        server.cli("things", "enrol", "--count", str(devices), "--prefix", f"{name}-", "--group", name, "--out", self.devices)
        server.request("PUT", f"/v1/profiles/{name}", {"targets": [f"group/{name}"], "behaviors": [BEHAVIOR]})
        for victim in self.victims:
            server.enrol(victim, group=victim)
            (folder / victim).mkdir()
            (folder / victim / victim).symlink_to(server.devices / victim)  # a fleet of its own
            server.request("PUT", f"/v1/profiles/{victim}", {"targets": [f"group/{victim}"], "behaviors": [BEHAVIOR]})
        await_rules(server)
        self.fleets = []

    def __enter__(self):
        self.fleets = [Simulator(self.server, self.folder, name=self.name, devices=self.devices, attacked=self.attacked,
                                 infected=INFECTED, interval=self.interval)]
        self.await_more()
        return self

    def __exit__(self, *_):
        for fleet in self.fleets:
            fleet.stop()

    # ---- while it runs

    def acknowledged(self):
        return [told for fleet in self.fleets for told in fleet.acknowledged()]

    def await_more(self, reports=60, seconds=90):
        """So many more are acknowledged from now on: what had failed works again."""
        before = len(self.acknowledged())
        wait_for(f"{reports} more reports to be acknowledged", lambda: len(self.acknowledged()) >= before + reports, seconds)

    def strike(self, victim, port=None):
        """It starts to report, and gives itself away a moment later: the breach is acknowledged when this returns."""
        fleet = Simulator(self.server, self.folder, name=f"{victim}-fleet", devices=self.folder / victim, attacked=[victim],
                          infected=[(STRUCK_AT, 9999)], interval=0.1, port=port)
        self.fleets.append(fleet)
        self.struck.append(victim)
        wait_for(f"the breach of {victim}", lambda: (victim, STRUCK_AT) in fleet.acknowledged(), 60)

    def await_off(self, victim, seconds=90):
        """Off the network, proven. While the API is away nobody answers."""
        def proven():
            try:
                actions = self.server.get(f"/v1/actions?thing={victim}")["actions"]
            except OSError as error:
                raise AssertionError(f"the API: {error}") from None
            return [a for a in actions if a["state"] == "in_effect"] or self._not_yet(actions)

        return wait_for(f"{victim} to be off the network, proven", proven, seconds)[0]

    @staticmethod
    def _not_yet(actions):
        raise AssertionError(f"its actions: {[(a['level'], a['state']) for a in actions]}")

    # ---- afterwards

    def check(self):
        """None lost, none done twice. Call it when the fleet has stopped."""
        check_reports(self.server, self.acknowledged())
        due = collections.Counter(self._due_events())
        wait_for("the last of the events on the bus", lambda: not due - collections.Counter(self._events()), 60, every=0.5)
        assert collections.Counter(self._events()) == due
        self._check_history(due)
        for victim in self.struck:
            self._check_victim(victim)
        assert not [a for thing in self.attacked for a in self.server.get(f"/v1/actions?thing={thing}")["actions"]]

    def _events(self):
        mine = {*self.attacked, *self.struck}
        return [event for event in violation_events(self.server) if event[0] in mine]

    def _due_events(self):
        """By what stands on the bus: reports are numbered, so the infected ones are known."""
        written = {(r.key, report_id(r)) for r in reports(self.server)}
        for thing in self.attacked:
            for first, last in INFECTED:
                if (thing, first) in written:
                    yield thing, "listeners", "in-alarm", first
                if (thing, last + 1) in written:
                    yield thing, "listeners", "alarm-cleared", last + 1
        for victim in self.struck:
            yield victim, "listeners", "in-alarm", STRUCK_AT

    def _check_history(self, due):
        """What the API shows is the same, each once."""
        for thing in {event[0] for event in due}:
            mine = sorted(event[:3] for event in due.elements() if event[0] == thing)
            shown = wait_for(f"the events of {thing}", lambda t=thing, n=len(mine): (
                events := self.server.get(f"/v1/violation-events?thing={t}&limit=250")["events"]) and len(events) >= n and events)
            assert sorted((e["thingName"], e["behavior"]["name"], e["violationEventType"]) for e in shown) == mine

    def _check_victim(self, victim):
        action, = self.server.get(f"/v1/actions?thing={victim}")["actions"]
        assert (action["level"], action["state"]) == ("isolate", "in_effect")
        steps = collections.Counter(s["step"] for s in self.server.get(f"/v1/actions/{action['id']}")["steps"])
        assert steps["verified"] == 1 and steps["executing"] <= 1 and steps["verifying"] <= 1, steps
        by_id = {}  # the relay may say a step twice, in the same bytes
        for record in records(self.server, "fleetward.actions"):
            if record.value is not None and record.key == victim:
                event = json.loads(record.value)
                assert by_id.setdefault(event["id"], record.value) == record.value, "two steps with one id"
                assert event["data"]["action"]["id"] == action["id"]
        assert by_id, f"no step of {victim} on the bus"
        incident = self.server.incident_of(victim)["id"]
        wait_for(f"the page of {victim}", lambda: self.server.alertmanager.rung(incident))
        assert self.server.alertmanager.rung(incident) == ["firing"]
