"""Fifty devices attacked at once: at most the cap is isolated by itself, the rest waits for a person, one page goes out."""
import concurrent.futures
import time

import pytest

from harness import publish, report, wait_for

ATTACKED = 50
BEHAVIORS = [{"name": "known-listeners", "metric": "aws:listening-tcp-ports",
              "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 8883]}}}]


def cap(size):
    """Of a group, for an hour: the day's cap is max(5, 2 %), the hour's max(5, 0.5 %) of it, neither above max(1, 25 %)."""
    ceiling = max(1, size // 4)
    day = min(ceiling, max(5, size * 20 // 1000))
    return min(day, max(5, size * 5 // 1000))


def isolations(server):
    return [a for a in server.get("/v1/actions?limit=500")["actions"] if a["level"] == "isolate"]


def settled(server, count):
    """The actions for so many things, once each is where it stays until a person decides: (isolated, waiting)."""
    actions = isolations(server)
    isolated = [a for a in actions if a["state"] == "in_effect"]
    waiting = [a for a in actions if a["state"] == "awaiting_approval"]
    if len({a["thing"] for a in actions}) < count or len(isolated) + len(waiting) < len(actions):
        return None
    assert len(actions) == count, "one action a thing"
    return isolated, waiting


def member_count(server, incident):
    return len(server.get(f"/v1/incidents/{incident}")["members"])


@pytest.fixture
def attack(installation):
    """attack(group, size, count): a group of that size, of which so many report the same breach at once."""
    server = installation().start()

    def begin(group, size, count):
        server.cli("things", "enrol", "--count", str(size), "--prefix", "r", "--group", group, "--out", server.devices)
        names = sorted(p.name for p in server.devices.iterdir())
        assert len(names) == size
        server.request("PUT", f"/v1/profiles/{group}", {"behaviors": BEHAVIORS, "targets": [f"group/{group}"]})
        wait_for("first report", lambda: publish(server, names[-1], report(1), check=False).returncode == 0)
        with concurrent.futures.ThreadPoolExecutor(count) as at_once:
            list(at_once.map(lambda thing: publish(server, thing, report(2, ports=(22, 48101)), check=False), names[:count]))
        return server

    yield begin
    assert server.stop() == 0


def test_a_small_group_is_isolated_up_to_its_cap(attack):
    """Nine are too few for the brake: the cap alone stops it, and is used in full."""
    server = attack("small", size=12, count=9)
    isolated, waiting = wait_for("a decision for each", lambda: settled(server, 9), 60)
    assert len(isolated) == cap(12) == 3
    assert not [a for a in waiting if not a["waitReason"].startswith("cap: 3 things of group small ")]


def test_fifty_attacked_at_once(attack):
    server = attack("radius", size=60, count=ATTACKED)
    isolated, waiting = wait_for("a decision for each", lambda: settled(server, ATTACKED), 60)
    assert cap(60) == 5
    assert 1 <= len(isolated) <= cap(60), [a["thing"] for a in isolated]
    assert not [a["thing"] for a in isolated if a.get("approvedBy")], "these the governor let through by itself"
    assert not [a for a in waiting if not a["waitReason"].startswith(("brake: ", "cap: "))], "and says why not the others"
    # Who waits still reports; who is isolated does not.
    assert publish(server, waiting[0]["thing"], report(3), check=False).returncode == 0
    for action in isolated:
        assert publish(server, action["thing"], report(3), check=False).returncode != 0, action["thing"]
    check_one_page(server, isolated)
    check_that_only_approval_exceeds_it(server, isolated, waiting)


def incidents_by_entry(server):
    """One of the devices; and one of each thing that holds the governor back, which is recorded apart from them."""
    incidents = server.get("/v1/incidents")["incidents"]
    by_entry = {i["entry"]: i["id"] for i in incidents}
    assert len(by_entry) == len(incidents), "two incidents of one kind"
    return by_entry


def check_one_page(server, isolated):
    wait_for("word that the brake is on", lambda: "governor/brake" in incidents_by_entry(server))
    incident = incidents_by_entry(server)["isolate-compromised"]
    # Each attacked device's isolation, and the revocation that waits behind each that is in effect.
    wait_for("all of them in the incident", lambda: member_count(server, incident) == ATTACKED + len(isolated))
    words = f"{ATTACKED} devices look compromised"
    page = wait_for("the page that tells of all of them", lambda: [
        a for a in server.alertmanager.alerts_of(incident) if words in a["annotations"]["summary"]])[0]
    assert "fleetward governor release-brake radius/known-listeners" in page["annotations"]["description"]
    # A page of the brake's own would have gone out by now: they wait ten seconds for the devices'.
    wait_for("the time after which the brake would page", lambda: time.time() > began(server, "governor/brake") + 16, 30)
    check_it_rang_once(server)


def began(server, entry):
    return server.get(f"/v1/incidents/{incidents_by_entry(server)[entry]}")["windowStart"] / 1000


def check_it_rang_once(server):
    entries = incidents_by_entry(server)
    # The cap's is there if it was used up before the brake came on.
    assert {"isolate-compromised", "governor/brake"} <= set(entries) <= {"isolate-compromised", "governor/brake", "governor/cap"}
    ours = set(entries.values())
    alerts = [a["labels"]["incident"] for a in server.alertmanager.alerts() if a["labels"]["incident"] in ours]
    assert alerts == [entries["isolate-compromised"]], "one identity for all of it"
    rung = [(a["labels"]["incident"], a["status"]) for a in server.alertmanager.phone.rung if a["labels"]["incident"] in ours]
    assert rung == [(entries["isolate-compromised"], "firing")], "and it rang once"


def check_that_only_approval_exceeds_it(server, isolated, waiting):
    chosen = waiting[0]
    server.cli("actions", "approve", chosen["id"], "--reason", "seen on the camera itself")
    wait_for("the approved isolation", lambda: server.get(f"/v1/actions/{chosen['id']}")["state"] == "in_effect")
    assert publish(server, chosen["thing"], report(4), check=False).returncode != 0
    now = {a["thing"] for a in isolations(server) if a["state"] == "in_effect"}
    assert now == {a["thing"] for a in isolated} | {chosen["thing"]}
    check_it_rang_once(server)  # and not for that
