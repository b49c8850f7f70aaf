"""kill -9 of each role in turn, every role its own process over Kafka and PostgreSQL, under load: nothing acknowledged is lost,
no violation, action or page is there twice."""
import collections

import pytest

from bus_file import records
from distributed import Distributed
from distributed_load import Load, playbook

# The collector has no part in what devices report here: tests/e2e kills it.
ROLES = ("pki", "historian", "notifier", "responder", "detector", "cohorts", "api", "gateway")
VICTIMS = {role: f"victim-{role}" for role in ROLES}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, kafka, postgres, alertmanager):
    server = Distributed(tmp_path_factory.mktemp("kills"), kafka, postgres, alertmanager=alertmanager,
                         playbook=playbook(VICTIMS.values()))
    with server.running():
        yield server


def test_each_role_is_killed_and_starts_again(fleet, tmp_path):
    """While a breach that it has a part in is on its way."""
    with Load(fleet, tmp_path, "herd", victims=VICTIMS.values()) as load:
        for role, victim in VICTIMS.items():
            process = fleet.roles[f"{role}-1"]
            load.strike(victim)
            process.kill()
            process.spawn().wait_ready()
            load.await_more()
            load.await_off(victim)
    load.check()
    check_versions(fleet)


def check_versions(server):
    """What was decided stands on its tables in the order of its versions, each version one record's bytes."""
    for topic in ("fleetward.access", "fleetward.certificates"):
        by_key = collections.defaultdict(list)
        for record in records(server, topic):
            if record.value is not None:
                by_key[record.key].append((int(record.headers["fw-version"]), record.value))
        assert by_key, f"nothing on {topic}"
        for key, written in by_key.items():
            versions = [version for version, _ in written]
            assert versions == sorted(versions), f"{topic} {key}: {versions}"
            assert len(set(written)) == len(set(versions)), f"{topic} {key}: a version twice, and not the same"
