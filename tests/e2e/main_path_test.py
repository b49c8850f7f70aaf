"""A compromised device is caught, cut off, proven off, paged, and, after approval, revoked. Nobody else is touched."""
import json

import pytest

from bus_file import records, report_id, reports
from harness import ACCOUNT, REGION, publish, report, run, wait_for
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


def targets_in_force(server, profile, thing):
    """Of the profile, in the rules that the last mark of the thing's partition names: they judge what is appended after it."""
    devices = records(server, "fleetward.devices")
    partition = next(r.partition for r in devices if r.key == thing)
    marks = [json.loads(r.value) for r in devices if r.partition == partition and r.kind == "mark"]
    assert marks, "no rules are in force yet"
    manifest = next(r.data for r in records(server, "fleetward.rules") if r.key == f"manifest/{marks[-1]['manifest']}")
    return [target for entry in manifest["profiles"] if entry["profile"] == profile for target in entry["targets"]]


def wait_applied(server, thing, number):
    """Until the detector has applied all reports on the bus, the thing's with this number among them."""
    written = wait_for("the report on the bus", lambda: (
        found := reports(server)) and any(r.key == thing and report_id(r) == number for r in found) and found)
    applied = 'fleetward_detector_records{outcome="report_applied"}'
    wait_for("the detector to have applied it", lambda: server.metrics()[applied] == len(written))


def alarms_by_report(server, thing):
    """The id of the report that decided each event of the thing on the bus, in the order in which they were decided."""
    at = {(r.partition, r.offset): report_id(r) for r in reports(server)}
    events = [r.data for r in records(server, "fleetward.violations") if r.key == thing]
    return [(at[e["partition"], e["offset"]], e["violationEventType"]) for e in events]


def test_what_was_detached_raises_nothing_and_raises_again_when_attached(path):
    target = ("--security-profile-name", "calm", "--security-profile-target-arn", f"arn:aws:iot:{REGION}:{ACCOUNT}:thinggroup/calm")
    path.enrol("calm-1", group="calm")
    path.request("PUT", "/v1/profiles/calm", dict(PROFILE, targets=["group/calm"]))
    wait_for("first report", lambda: publish(path, "calm-1", report(1), check=False).returncode == 0)
    wait_for("the rules with it", lambda: targets_in_force(path, "calm", "calm-1") == ["group/calm"])

    path.aws("detach-security-profile", *target)
    wait_for("the rules without it", lambda: targets_in_force(path, "calm", "calm-1") == [])
    publish(path, "calm-1", report(2, ports=(22, 23)))
    wait_applied(path, "calm-1", 2)
    assert path.get("/v1/violations?thing=calm-1")["violations"] == []

    path.aws("attach-security-profile", *target)
    wait_for("the rules with it again", lambda: targets_in_force(path, "calm", "calm-1") == ["group/calm"])
    publish(path, "calm-1", report(3, ports=(22, 23)), check=False)  # the cut may come before its answer
    wait_applied(path, "calm-1", 3)
    (violation,) = wait_for("the alarm after attaching again", lambda: path.get("/v1/violations?thing=calm-1")["violations"])
    # Events of a thing keep their order: had report 2 raised one, however late it was told, it would be the first here.
    assert alarms_by_report(path, "calm-1") == [(3, "in-alarm")]
    assert [e["violationId"] for e in path.get("/v1/violation-events?thing=calm-1")["events"]] == [violation["violationId"]]
