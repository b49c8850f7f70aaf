"""A broker that is reachable and slow, for all roles, under load: all goes on, slowly, nothing acknowledged is lost, no violation,
action or page is there twice; and when the broker is quick again so is everything."""
import json

import pytest

import kafka as kafka_cluster
from distributed import Distributed
from distributed_load import Load, playbook
from slow_path import SlowPath

VICTIMS = ["while-slow", "while-crawling", "afterwards"]
SLOW_SECONDS = 0.3      # each way
CRAWLING_SECONDS = 1.5  # each way: a member's word to its group is as old as its session allows


@pytest.fixture
def path():
    with SlowPath() as path:
        yield path


@pytest.fixture
def fleet(tmp_path, path, postgres, alertmanager):
    with kafka_cluster.Kafka(far="127.0.0.1", far_port=path.port) as cluster:
        path.lead_to(cluster.far_ports[0])
        server = Distributed(tmp_path / "fleetward", cluster, postgres, alertmanager=alertmanager, playbook=playbook(VICTIMS),
                             roles={"gateway": 2, "detector": 2})
        for role in server.roles.values():
            settings = json.loads(role.config.read_text())
            settings["bus"]["bootstrap"] = cluster.far_bootstrap
            role.config.write_text(json.dumps(settings))
        with server.running():
            yield server


def test_a_slow_broker_makes_slow_and_nothing_worse(fleet, path, tmp_path):
    with Load(fleet, tmp_path, "herd", victims=VICTIMS) as load:
        path.delay = SLOW_SECONDS
        load.strike("while-slow")
        load.await_more()
        load.await_off("while-slow")
        path.delay = CRAWLING_SECONDS
        load.strike("while-crawling")
        load.await_more(80)  # each of its devices waits for several answers in turn: longer than a session
        path.delay = 0.0
        load.await_more()
        load.await_off("while-crawling")
        load.strike("afterwards")
        load.await_off("afterwards")
    load.check()
