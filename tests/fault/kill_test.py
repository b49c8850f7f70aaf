"""kill -9 of the whole process at chosen points of the path: nothing acknowledged is lost, every effect is once."""
import json

import pytest

from bus_file import report_id, reports
from harness import FLEETWARD, publish, report, run, wait_for

PROFILE = {
    "behaviors": [{"name": "known-listeners", "metric": "aws:listening-tcp-ports",
                   "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 8883]}}}],
    "targets": ["group/kill"],
}
POINTS = ["gateway.after_append", "detector.after_violation", "detector.before_commit", "responder.after_decision",
          "responder.before_verify", "relay.after_append", "notifier.after_post"]


def alarms_on_the_bus(server, thing):
    """Where the report that decided it stands, of each alarm of the thing on the bus, by violation id; from a copy of its file, as
    an outsider would look."""
    out = run(FLEETWARD, "replay", "--recorded", server.data / "bus" / "bus.db").stdout
    events = [json.loads(line) for line in out.splitlines() if line.strip()]
    return {e["data"]["violationId"]: (e["data"]["partition"], e["data"]["offset"]) for e in events
            if e["data"]["thingName"] == thing and e["data"]["violationEventType"] == "in-alarm"}


@pytest.mark.parametrize("point", POINTS)
def test_killed_at(installation, point):
    server = installation().start()
    server.enrol("k1", "k2", group="kill")
    server.request("PUT", "/v1/profiles/kill", PROFILE)
    for thing in ("k1", "k2"):
        wait_for(f"first report of {thing}", lambda: publish(server, thing, report(1), check=False).returncode == 0)
    assert server.stop() == 0

    server.start(faults=point)
    acknowledged = publish(server, "k1", report(2, ports=(22, 48101)), check=False).returncode == 0
    assert server.wait_dead() == -9
    # With the points after the detection it may be answered or not; before its answer it is not.
    assert not (acknowledged and point == "gateway.after_append")
    server.start()
    if not acknowledged:  # the device sends again; what was acknowledged it never says again, so all must come from that
        publish(server, "k1", report(3, ports=(22, 48101)), check=False)
    actions = wait_for("the action, finished", lambda: [
        a for a in server.get("/v1/actions?thing=k1")["actions"] if a["level"] == "isolate" and a["state"] == "in_effect"])
    assert len(actions) == 1
    assert len(server.get("/v1/violations?thing=k1")["violations"]) == 1
    assert publish(server, "k1", report(4), check=False).returncode != 0
    assert publish(server, "k2", report(4)).returncode == 0
    incident, pager = server.incident_of("k1"), server.alertmanager
    wait_for("the page", lambda: pager.alerts_of(incident["id"]))
    wait_for("the ring at the person on call", lambda: pager.rung(incident["id"]))

    # And once more, at no point in particular: a device that was cut is not let in again by a restart.
    server.kill()
    server.start()
    assert publish(server, "k1", report(5), check=False).returncode != 0
    assert server.stop() == 0
    breaches = {(r.partition, r.offset): report_id(r) for r in reports(server) if r.key == "k1" and report_id(r) in (2, 3)}
    (decided_by,) = alarms_on_the_bus(server, "k1").values()
    assert decided_by == min(breaches), "by the first of them that was durable"
    assert not acknowledged or list(breaches.values()) == [2]
    assert pager.rung(incident["id"]) == ["firing"], "one page, however often it was posted"
