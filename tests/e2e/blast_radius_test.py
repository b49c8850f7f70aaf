"""Fifty devices attacked at once: at most the cap is isolated by itself, the rest waits for a person, one page goes out."""
import json

from harness import publish, report, wait_for

ATTACKED = [f"r{i:03}" for i in range(50)]


def test_fifty_attacked_at_once(installation):
    server = installation().start()
    server.cli("things", "enrol", "--count", "60", "--prefix", "r", "--group", "radius", "--out", server.devices)
    names = sorted(p.name for p in server.devices.iterdir())
    assert len(names) == 60
    server.request("PUT", "/v1/profiles/radius", {
        "behaviors": [{"name": "known-listeners", "metric": "aws:listening-tcp-ports",
                       "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 8883]}}}],
        "targets": ["group/radius"]})
    attacked = names[:50]
    wait_for("first report", lambda: publish(server, names[59], report(1), check=False).returncode == 0)
    for thing in attacked:
        publish(server, thing, report(2, ports=(22, 48101)), check=False)
    states = wait_for("an action for each", lambda: (
        a := [x for x in server.get("/v1/actions?limit=500")["actions"] if x["level"] == "isolate"]) and len(a) == 50 and
        not [x for x in a if x["state"] in ("proposed", "executing", "verifying")] and a, 60)
    isolated = [a["thing"] for a in states if a["state"] == "in_effect"]
    waiting = [a for a in states if a["state"] == "awaiting_approval"]
    # 60 things in the group: a day's cap of max(5, 2 %) = 5, an hour's of min(5, max(5, 0.5 %)) = 5.
    assert 1 <= len(isolated) <= 5, isolated
    assert len(waiting) == 50 - len(isolated)
    pages = [a for a in server.alertmanager.alerts() if "radius/known-listeners" in json.dumps(a)]
    assert len({json.dumps(a["labels"], sort_keys=True) for a in pages}) == 1
    # Those that wait still report; those that are isolated do not.
    assert publish(server, waiting[0]["thing"], report(3), check=False).returncode == 0
    assert publish(server, isolated[0], report(3), check=False).returncode != 0
    assert server.stop() == 0
