"""Every role its own process over a real Kafka and PostgreSQL: the main job, and what only several processes show."""
import pytest

from distributed import Distributed
from harness import publish, report, run, wait_for

PROFILE = {
    "behaviors": [{"name": "known-listeners", "metric": "aws:listening-tcp-ports",
                   "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 8883]}}}],
    "targets": ["group/fleet"],
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, kafka, postgres, alertmanager):
    """Two gateways, two detectors, two responders; one of each other role."""
    server = Distributed(tmp_path_factory.mktemp("distributed"), kafka, postgres, alertmanager=alertmanager,
                         roles={"gateway": 2, "detector": 2, "responder": 2})
    try:
        server.start()
        server.enrol(*(f"cam-{i}" for i in range(1, 13)), group="fleet")
        server.request("PUT", "/v1/profiles/fleet", PROFILE)
        yield server
        codes = server.stop()
        assert set(codes.values()) == {0}, f"{codes}\n{server.logs()}"
    finally:
        server.kill()


def publish_at(server, instance, thing, payload, check=True):
    """By way of that gateway."""
    arguments = server.device(thing)
    arguments[arguments.index("-p") + 1] = str(server.roles[instance].port)
    return run("mosquitto_pub", "-V", "5", *arguments, "-i", thing, "-q", "1", "-t", f"$aws/things/{thing}/defender/metrics/json",
               "-m", payload, check=check, timeout=20)


def in_effect(server, thing):
    return [a for a in server.get(f"/v1/actions?thing={thing}")["actions"] if a["level"] == "isolate" and a["state"] == "in_effect"]


def test_a_device_that_is_cut_at_one_gateway_is_refused_at_each(fleet):
    for gateway in ("gateway-1", "gateway-2"):
        wait_for(f"a report through {gateway}", lambda: publish_at(fleet, gateway, "cam-1", report(1), check=False).returncode == 0)
    publish_at(fleet, "gateway-1", "cam-1", report(2, ports=(22, 48101)), check=False)
    (action,) = wait_for("the isolation, verified", lambda: in_effect(fleet, "cam-1"))
    # Proof names each gateway: the session of each, and a probe at each.
    proof = str(fleet.get(f"/v1/actions/{action['id']}"))
    assert "gateway-1" in proof and "gateway-2" in proof, proof
    for gateway in ("gateway-1", "gateway-2"):
        refused = publish_at(fleet, gateway, "cam-1", report(3), check=False)
        assert refused.returncode != 0 and "banned" in (refused.stdout + refused.stderr).lower()
    assert publish_at(fleet, "gateway-2", "cam-2", report(1)).returncode == 0
    incident = fleet.incident_of("cam-1")
    wait_for("the ring at the person on call", lambda: fleet.alertmanager.rung(incident["id"]) == ["firing"])


def test_a_release_lets_it_back_at_each_gateway(fleet):
    (action,) = in_effect(fleet, "cam-1")
    fleet.cli("actions", "release", action["id"], "--reason", "re-imaged")
    for gateway in ("gateway-1", "gateway-2"):
        wait_for(f"cam-1 back at {gateway}", lambda: publish_at(fleet, gateway, "cam-1", report(9), check=False).returncode == 0)


def test_a_detector_that_is_killed_is_followed_by_the_other(fleet):
    """Its partitions go to the one that lives; a breach is then found whoever had the device, and once."""
    things = [f"cam-{i}" for i in range(3, 6)]  # three: the caps of a group of twelve allow so many
    for thing in things:
        wait_for(f"a report of {thing}", lambda: publish(fleet, thing, report(1), check=False).returncode == 0)
    fleet.roles["detector-1"].kill()
    for thing in things:
        publish(fleet, thing, report(2, ports=(22, 48101)), check=False)
    for thing in things:
        wait_for(f"the alarm of {thing}", lambda: fleet.get(f"/v1/violations?thing={thing}")["violations"], seconds=60)
    fleet.roles["detector-1"].spawn().wait_ready()
    for thing in things:
        assert len(fleet.get(f"/v1/violations?thing={thing}")["violations"]) == 1


def test_a_store_that_is_killed_delays_a_decision_and_doubles_none(fleet, postgres):
    wait_for("a report of cam-7", lambda: publish(fleet, "cam-7", report(1), check=False).returncode == 0)
    postgres.kill()
    publish(fleet, "cam-7", report(2, ports=(22, 48101)), check=False)
    lost = [p for p in fleet.roles.values() if p.role in ("api", "historian", "notifier", "pki", "responder")]
    wait_for("each role with the store to say that it is gone", lambda: not any(p.is_ready() for p in lost))
    assert all(p.is_running() for p in fleet.roles.values()), fleet.logs()
    postgres.start()
    for process in fleet.roles.values():
        process.wait_ready()
    wait_for("the alarm of cam-7", lambda: fleet.get("/v1/violations?thing=cam-7")["violations"])
    wait_for("what was decided of cam-7", lambda: fleet.get("/v1/actions?thing=cam-7")["actions"])
    wait_for("its incident", lambda: fleet.incident_of("cam-7"))
    assert len(fleet.get("/v1/actions?thing=cam-7")["actions"]) == 1
    assert len(fleet.get("/v1/violations?thing=cam-7")["violations"]) == 1


def test_each_role_has_the_grants_that_it_needs(fleet, postgres):
    """After all of the above: deploy/postgres/roles.sql is what they lived by."""
    users = postgres.psql(f"SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = '{fleet.database}' ORDER BY 1").split()
    assert users == [f"fleetward_{role}" for role in ("api", "historian", "notifier", "pki", "responder")]
    assert postgres.denials(fleet.database) == []
