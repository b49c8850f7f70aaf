"""Verification can fail: it looks at what the world sees, not at our own tables."""
import subprocess

from harness import publish, report, wait_for

PROFILE = {
    "behaviors": [{"name": "known-listeners", "metric": "aws:listening-tcp-ports",
                   "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 8883]}}}],
    "targets": ["group/proof"],
}
# An action that cannot be proven has failed sooner than by default; one that can takes a part of a second.
SOON = {"responder": {"verify_limit": "4s"}}


def prepare(server, thing):
    server.enrol(thing, group="proof")
    server.request("PUT", "/v1/profiles/proof", PROFILE)
    wait_for("first report", lambda: publish(server, thing, report(1), check=False).returncode == 0)


def actions(server, thing, level):
    return [a for a in server.get(f"/v1/actions?thing={thing}")["actions"] if a["level"] == level]


def test_a_gateway_that_does_not_cut_makes_the_action_fail(installation):
    server = installation(settings=SOON).start(faults="gateway.skip_cut")
    prepare(server, "p1")
    # A session that stays: reports come over standard input of one client.
    live = subprocess.Popen(["mosquitto_pub", "-V", "5", *server.device("p1"), "-i", "p1", "-q", "1", "-l", "-t",
                             "$aws/things/p1/defender/metrics/json"], stdin=subprocess.PIPE, text=True)
    try:
        live.stdin.write(report(2, ports=(22, 48101)) + "\n")
        live.stdin.flush()
        failed = wait_for("the failed action", lambda: [a for a in actions(server, "p1", "isolate") if a["state"] == "failed"], 60)
        assert "session" in str(failed[0])
        assert live.poll() is None, "the gateway was told not to cut"
    finally:
        live.kill()
        live.wait()
    assert server.stop() == 0


def test_yesterdays_crl_makes_the_revocation_fail(installation):
    server = installation(settings=SOON).start(faults="pki.serve_stale_crl")
    prepare(server, "p2")
    publish(server, "p2", report(2, ports=(22, 48101)), check=False)
    waiting = wait_for("the revocation that waits", lambda: [
        a for a in actions(server, "p2", "revoke") if a["state"] == "awaiting_approval"])
    server.cli("actions", "approve", waiting[0]["id"], "--reason", "confirmed")
    failed = wait_for("the failed revocation", lambda: [a for a in actions(server, "p2", "revoke") if a["state"] == "failed"], 60)
    assert "CRL" in str(failed[0])
    # The device stays out all the same: the gateway does not need the CRL.
    assert publish(server, "p2", report(3), check=False).returncode != 0
    assert server.stop() == 0


def test_observe_records_what_it_would_have_done(installation):
    server = installation(mode="observe").start()
    prepare(server, "p3")
    publish(server, "p3", report(2, ports=(22, 48101)))
    seen = wait_for("the proposal", lambda: actions(server, "p3", "isolate"))
    assert seen[0]["mode"] == "observe"
    assert publish(server, "p3", report(3)).returncode == 0
    assert server.stop() == 0
