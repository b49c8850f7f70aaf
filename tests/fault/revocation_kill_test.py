"""kill -9 between a person's approval and the proof of the revocation: it is finished once, and seen by everyone."""
import re
import sqlite3

import pytest

from bus_file import records
from harness import publish, report, run, wait_for

PROFILE = {
    "behaviors": [{"name": "known-listeners", "metric": "aws:listening-tcp-ports",
                   "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 8883]}}}],
    "targets": ["group/doomed"],
}
# Where it dies, and what of it must be so at that moment: revocations in the kept CRL, and whether gateways can know it.
# None: whichever came first.
POINTS = {
    "relay.before_append": (None, False),    # approved and committed; nobody else knows it
    "relay.after_append": (None, True),      # the certificate's record is out; nothing is proven
    "pki.before_crl_saved": (0, None),       # signed, and lost
    "pki.after_crl_saved": (1, None),        # kept, and never served
    "responder.before_verify": (None, None),
}


def action_of(server, level, state):
    actions = [a for a in server.get("/v1/actions?thing=bad")["actions"] if a["level"] == level and a["state"] == state]
    return actions[0] if actions else None


def kept(server, query):
    """From the store's file, as the dead process has left it."""
    db = sqlite3.connect(f"file:{server.data / 'store' / 'store.db'}?mode=ro", uri=True)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


def revoked_records(server):
    return [r for r in records(server, "fleetward.certificates") if r.data["status"] == "REVOKED"]


@pytest.fixture
def isolated(installation):
    """A device that is isolated, with the revocation that waits for a person; and another one."""
    server = installation().start()
    server.enrol("bad", "good", *(f"other-{i}" for i in range(2)), group="doomed")
    server.request("PUT", "/v1/profiles/doomed", PROFILE)
    for thing in ("bad", "good"):
        wait_for(f"first report of {thing}", lambda: publish(server, thing, report(1), check=False).returncode == 0)
    publish(server, "bad", report(2, ports=(22, 48101)), check=False)
    wait_for("the revocation that waits", lambda: action_of(server, "revoke", "awaiting_approval"))
    assert server.stop() == 0
    return server


@pytest.mark.parametrize("point", POINTS)
def test_killed_at(isolated, tmp_path, point):
    server = isolated
    server.start(faults=point)
    waiting = action_of(server, "revoke", "awaiting_approval")
    server.cli("actions", "approve", waiting["id"], "--reason", "Mirai confirmed", check=False)  # may die before it answers
    assert server.wait_dead() == -9
    ((state,),) = kept(server, f"SELECT state FROM actions WHERE id='{waiting['id']}'")
    in_crl, on_bus = POINTS[point]
    # Which of the two depends on whether the gateway's word came before the end.
    assert state in ("executing", "verifying"), "approved, and not finished"
    if in_crl is not None:
        assert kept(server, "SELECT revocations FROM crl") == [(in_crl,)]
    if on_bus is not None:
        assert bool(revoked_records(server)) == on_bus

    server.start()
    wait_for("the revocation, proven", lambda: action_of(server, "revoke", "in_effect"))
    check_once(server, waiting["id"])
    crl = check_everyone_sees_it(server, tmp_path)
    # And once more, at no point in particular: nothing is done again, and nothing is undone.
    server.kill()
    server.start()
    assert served_crl(server, tmp_path) == crl
    assert publish(server, "bad", report(5), check=False).returncode != 0
    assert server.stop() == 0
    assert len({r.data["version"] for r in revoked_records(server)}) == 1, "revoked once"


def check_once(server, action):
    steps = [s["step"] for s in server.get(f"/v1/actions/{action}")["steps"]]
    for step in ("awaiting_approval", "executing", "verified"):
        assert steps.count(step) == 1, steps
    again = server.cli("actions", "approve", action, "--reason", "again", check=False)
    assert again.returncode != 0 and "nothing to approve" in again.stderr
    assert kept(server, "SELECT count(*) FROM certificates WHERE revoked_ms IS NOT NULL") == [(1,)]


def served_crl(server, folder):
    run("curl", "-sSf", "-o", folder / "served.crl", server.crl_url)
    run("openssl", "crl", "-inform", "DER", "-in", folder / "served.crl", "-out", folder / "served.pem")
    return (folder / "served.pem").read_text()


def verify(server, folder, thing):
    told = run("openssl", "verify", "-crl_check", "-CAfile", server.ca, "-untrusted", server.issuer, "-CRLfile",
               folder / "served.pem", server.devices / thing / "cert.pem", check=False)
    return told.stdout + told.stderr


def ask_ocsp(server, thing):
    told = run("openssl", "ocsp", "-issuer", server.issuer, "-cert", server.devices / thing / "cert.pem", "-url", server.ocsp_url,
               "-CAfile", server.ca)
    assert "Response verify OK" in told.stderr
    return told.stdout


def check_everyone_sees_it(server, folder):
    crl = served_crl(server, folder)
    text = run("openssl", "crl", "-in", folder / "served.pem", "-noout", "-text").stdout
    assert text.count("Serial Number:") == 1
    assert re.search(r"CRL Number:\s*\n\s*2\n", text), "the first was empty, one came after it"
    assert "certificate revoked" in verify(server, folder, "bad") and verify(server, folder, "good").endswith(": OK\n")
    assert ": revoked" in ask_ocsp(server, "bad") and ": good" in ask_ocsp(server, "good")
    assert publish(server, "bad", report(4), check=False).returncode != 0
    assert publish(server, "good", report(4)).returncode == 0
    return crl
