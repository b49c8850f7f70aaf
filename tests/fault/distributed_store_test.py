"""PostgreSQL restarts, is killed, stands still, and comes back from a backup, every role its own process, under load: nothing
acknowledged is lost, no violation, action or page is there twice, and what was decided after the backup is not let loose."""
import time

import pytest

import postgres as postgres_server
from bus_file import records
from distributed import Distributed
from distributed_load import BEHAVIOR, Load, playbook
from harness import publish, report, run, wait_for

VICTIMS = ["victim-1", "victim-2", "victim-3"]
HANGS_SECONDS = 10


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, kafka, alertmanager):
    """On a PostgreSQL of its own: others live on the shared one."""
    with postgres_server.Postgres() as postgres:
        server = Distributed(tmp_path_factory.mktemp("store"), kafka, postgres, alertmanager=alertmanager, roles={"responder": 2},
                             playbook=playbook([*VICTIMS, "before", "after"]))
        with server.running():
            yield server


def hang(postgres):
    postgres.freeze()
    try:
        time.sleep(HANGS_SECONDS)
    finally:
        postgres.thaw()


def kill_and_start(postgres):
    postgres.kill()
    postgres.start()


def test_the_store_restarts_is_killed_and_hangs(fleet, tmp_path):
    postgres = fleet.postgres
    faults = [postgres.restart, lambda: kill_and_start(postgres), lambda: hang(postgres)]
    with Load(fleet, tmp_path, "herd", victims=VICTIMS) as load:
        for victim, fault in zip(VICTIMS, faults):
            load.strike(victim)
            fault()
            load.await_more()
            load.await_off(victim)
    load.check()
    assert [name for name, p in fleet.roles.items() if not p.is_running()] == []


# ---- a backup that is older than the topics


def refused(server, thing):
    result = publish(server, thing, report(900), version="5", check=False)
    return result.returncode != 0 and "banned" in (result.stdout + result.stderr).lower()


def dump(server, path):
    run(postgres_server.BIN / "pg_dump", "-Fc", "-f", path, server.postgres._address(server.database),
        env={"PGPASSWORD": server.postgres.password})


def restore(server, path):
    """As an operator does it: everybody stopped, the database made anew from the backup. The topics are as they were."""
    codes = server.stop()
    assert set(codes.values()) == {0}, f"{codes}\n{server.logs()}"
    server.postgres.psql(f"DROP DATABASE {server.database}")
    server.postgres.new_database(server.database)
    run(postgres_server.BIN / "pg_restore", "--no-owner", "--exit-on-error", "-d", server.postgres._address(server.database), path,
        env={"PGPASSWORD": server.postgres.password})
    server.start()


def versions_on(server, topic):
    """Of each key, in the order of the bus."""
    versions = {}
    for record in records(server, topic):
        if record.value is not None:
            versions.setdefault(record.key, []).append(int(record.headers["fw-version"]))
    return versions


def said_by_any(server, event):
    return any(event in p.log() for p in server.roles.values())


def test_a_store_from_a_backup_that_is_older_than_the_topics(fleet, tmp_path):
    with Load(fleet, tmp_path, "flock", victims=["before", "after"]) as load:
        load.strike("before")
        load.await_off("before")
        dump(fleet, tmp_path / "backup")
        load.strike("after")
        load.await_off("after")
        rule = dict(BEHAVIOR, criteria={"comparisonOperator": "in-port-set", "value": {"ports": [22, 554, 8080]}})
        fleet.request("PUT", "/v1/profiles/flock", {"targets": ["group/flock"], "behaviors": [rule]})
    restore(fleet, tmp_path / "backup")
    wait_for("somebody to say that the store is older", lambda: said_by_any(fleet, "store_is_older_than_the_bus"))
    # Held before the backup, and after: neither is let loose by it.
    assert refused(fleet, "before") and refused(fleet, "after")
    assert not fleet.get("/v1/actions?thing=after")["actions"], "the backup is older than that action"
    # By hand it is held again, and released: the store counts on from what the bus has.
    action = fleet.request("POST", "/v1/things/after/quarantine", {"reason": "from before the restore"})
    wait_for("the hold by hand", lambda: fleet.get(f"/v1/actions/{action['id']}")["state"] == "in_effect", 60)
    fleet.cli("actions", "release", action["id"], "--reason", "re-imaged")
    wait_for("it to be let in again", lambda: publish(fleet, "after", report(901), check=False).returncode == 0)
    # A rule that is changed now is in force, under a version that nobody had.
    fleet.request("PUT", "/v1/profiles/flock", {"targets": ["group/flock", "group/after"], "behaviors": [BEHAVIOR]})
    publish(fleet, "after", report(902, ports=(22, 48101)), check=False)
    wait_for("the alarm by the new rule", lambda: [
        v for v in fleet.get("/v1/violations?thing=after")["violations"] if v["securityProfileName"] == "flock"], 60)
    for topic in ("fleetward.access", "fleetward.certificates", "fleetward.rules"):
        for key, versions in versions_on(fleet, topic).items():
            assert versions == sorted(versions), f"{topic} {key}: {versions}"
