"""A compromised device is caught, cut off, proven off, paged, and, after approval, revoked. Nobody else is touched."""
import pytest

from harness import publish, report, run, wait_for
from pager import seconds_left

PROFILE = {
    "behaviors": [
        {"name": "known-destinations", "metric": "aws:destination-ip-addresses",
         "criteria": {"comparisonOperator": "in-cidr-set", "value": {"cidrs": ["10.0.0.0/8"]}}},
        {"name": "known-listeners", "metric": "aws:listening-tcp-ports",
         "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 8883]}}},
    ],
    "targets": ["group/path"],
}
MIRAI = dict(ports=(22, 8883, 48101), destinations=tuple(f"203.0.113.{i}:23" for i in range(10)), bytes_out=90_000_000)


@pytest.fixture(scope="module")
def path(fleetward):
    # Twelve in the group: the caps (25 % of it) let three be isolated by themselves.
    fleetward.enrol(*(f"cam-{i}" for i in range(1, 13)), group="path")
    fleetward.request("PUT", "/v1/profiles/path", PROFILE)
    for thing in ("cam-1", "cam-2", "cam-3"):
        wait_for(f"first report of {thing}", lambda: publish(fleetward, thing, report(1), check=False).returncode == 0)
    return fleetward


def action_of(server, thing, state, level="isolate"):
    actions = server.get(f"/v1/actions?thing={thing}")["actions"]
    return next((a for a in actions if a["state"] == state and a["level"] == level), None)


@pytest.mark.parametrize("version,thing,refusal", [("5", "cam-1", "banned"), ("311", "cam-2", "not authori")])
def test_caught_isolated_proven_and_paged(path, version, thing, refusal):
    publish(path, thing, report(2, **MIRAI), version=version, check=False)
    action = wait_for("the isolation, verified", lambda: action_of(path, thing, "in_effect"))
    watch = action["stopwatch"]
    assert watch["received"] <= watch["detected"] <= watch["decided"] <= watch["enforced"] <= watch["verified"]
    refused = publish(path, thing, report(3), version=version, check=False)
    assert refused.returncode != 0
    assert refusal in (refused.stdout + refused.stderr).lower()
    assert publish(path, "cam-3", report(4), version=version).returncode == 0
    incident = path.incident_of(thing)["id"]
    # It says whom, why, and what to do.
    words = (f"{thing}: isolated, verified", "203.0.113.", f"fleetward actions release {action['id']}")
    wait_for("the page that tells of it", lambda: [
        a for a in path.alertmanager.alerts_of(incident) if all(w in a["annotations"]["description"] for w in words)])


def test_approved_revocation_is_in_the_crl_and_in_ocsp(path, tmp_path):
    waiting = wait_for("the revocation that waits for a person",
                       lambda: action_of(path, "cam-1", "awaiting_approval", "revoke"))
    path.cli("actions", "approve", waiting["id"], "--reason", "Mirai confirmed")
    wait_for("revocation, verified", lambda: action_of(path, "cam-1", "in_effect", "revoke"))
    certificate = path.devices / "cam-1" / "cert.pem"
    run("curl", "-sSf", "-o", tmp_path / "issuing.crl", path.crl_url)
    run("openssl", "crl", "-inform", "DER", "-in", tmp_path / "issuing.crl", "-out", tmp_path / "issuing.pem")
    revoked = run("openssl", "verify", "-crl_check", "-CAfile", path.ca, "-untrusted", path.issuer, "-CRLfile",
                  tmp_path / "issuing.pem", certificate, check=False)
    assert "certificate revoked" in revoked.stdout + revoked.stderr
    innocent = run("openssl", "verify", "-crl_check", "-CAfile", path.ca, "-untrusted", path.issuer, "-CRLfile",
                   tmp_path / "issuing.pem", path.devices / "cam-3" / "cert.pem", check=False)
    assert innocent.returncode == 0, innocent.stderr
    for digest in ("-sha1", "-sha256"):
        answer = run("openssl", "ocsp", "-issuer", path.issuer, digest, "-cert", certificate, "-url", path.ocsp_url, "-CAfile", path.ca)
        assert "revoked" in answer.stdout and "Response verify OK" in answer.stderr
    good = run("openssl", "ocsp", "-issuer", path.issuer, "-cert", path.devices / "cam-3" / "cert.pem", "-url", path.ocsp_url,
               "-CAfile", path.ca)
    assert ": good" in good.stdout


def test_release_lets_the_device_back_and_resolves_its_page(path):
    # cam-1 is revoked, and proven to be: cam-2 is the last that keeps the incident open.
    pager, incident = path.alertmanager, path.incident_of("cam-2")
    assert incident["state"] == "open"
    (page,) = pager.alerts_of(incident["id"])
    assert page["status"]["state"] == "active" and seconds_left(page) > 60, "it does not end by itself while we look"
    wait_for("the ring at the person on call", lambda: pager.rung(incident["id"]))
    assert pager.rung(incident["id"]) == ["firing"], "two devices, one page for their incident"

    action = action_of(path, "cam-2", "in_effect")
    path.cli("actions", "release", action["id"], "--reason", "re-imaged")
    wait_for("released", lambda: action_of(path, "cam-2", "released"))
    wait_for("cam-2 back", lambda: publish(path, "cam-2", report(9), check=False).returncode == 0)
    wait_for("the end of the page", lambda: pager.alerts_of(incident["id"]) == [])
    wait_for("word of it at the person on call", lambda: pager.rung(incident["id"]) == ["firing", "resolved"])
    assert path.incident_of("cam-2")["state"] == "closed"


def test_what_was_detached_raises_nothing_and_raises_again_when_attached(path):
    path.enrol("calm-1", group="calm")
    path.request("PUT", "/v1/profiles/calm", dict(PROFILE, targets=["group/calm"]))
    wait_for("first report", lambda: publish(path, "calm-1", report(1), check=False).returncode == 0)
    path.request("PUT", "/v1/profiles/calm", dict(PROFILE, targets=[]))
    publish(path, "calm-1", report(2, ports=(22, 23)))
    publish(path, "cam-3", report(5, ports=(22, 23)))  # a later report of another thing that does raise
    wait_for("the other's alarm", lambda: path.get("/v1/violations?thing=cam-3")["violations"])
    assert path.get("/v1/violations?thing=calm-1")["violations"] == []
    path.request("PUT", "/v1/profiles/calm", dict(PROFILE, targets=["group/calm"]))
    wait_for("the alarm after attaching again", lambda: (
        publish(path, "calm-1", report(3, ports=(22, 23)), check=False), path.get("/v1/violations?thing=calm-1")["violations"])[1])
