"""A detector whose memory does not suffice for all partitions: it leaves some paused and says so, another one takes them, and nothing
is lost or there twice."""
import json

import pytest

from distributed import Distributed
from distributed_load import Load, playbook
from harness import wait_for

VICTIMS = [f"victim-room-{i}" for i in range(3)]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, kafka, postgres, alertmanager):
    server = Distributed(tmp_path_factory.mktemp("room"), kafka, postgres, alertmanager=alertmanager, partitions=8,
                         playbook=playbook(VICTIMS))
    with server.running():
        yield server


def gauge(process, name):
    return process.metrics().get(f"fleetward_detector_{name}", 0)


def is_settled(process):
    """It has tried each partition that it owns."""
    assert process.readiness()[0], process.log()
    status, text = process.readiness()
    return status == 503 and "degraded" in text and gauge(process, "devices")


def allow(process, state_bytes_max):
    settings = json.loads(process.config.read_text())
    settings["detector"] = {"state_bytes_max": str(state_bytes_max)}
    process.config.write_text(json.dumps(settings))


def test_what_does_not_fit_is_paused_until_another_takes_it(fleet, tmp_path):
    small = fleet.roles["detector-1"]
    with Load(fleet, tmp_path, "room", devices=40, attacked=8, victims=VICTIMS) as load:
        wait_for("each device to have a state", lambda: gauge(small, "devices") >= 40)
        limit = int(gauge(small, "state_bytes") * 0.6)
        assert small.stop() == 0, small.log()
        allow(small, limit)
        small.spawn()
        wait_for("it to take what fits, and to leave the rest paused", lambda: is_settled(small), 60)
        load.await_more(200)
        for victim in VICTIMS:
            load.strike(victim)
        assert 0 < gauge(small, "partitions_paused") < fleet.partitions == gauge(small, "partitions")
        assert gauge(small, "state_bytes") <= limit
        status, text = small.readiness()
        assert status == 503 and "degraded" in text and "raise detector.state_bytes_max" in text, text
        assert "partition_paused" in small.log() and "start another detector" in small.log(), small.log()

        other = fleet.add("detector", 2).spawn()
        for process in (small, other):
            process.wait_ready()
        assert not gauge(small, "partitions_paused") and not gauge(other, "partitions_paused")
        assert gauge(small, "partitions") + gauge(other, "partitions") == fleet.partitions
        assert gauge(small, "state_bytes") <= limit
        load.await_more()
        for victim in VICTIMS:
            load.await_off(victim)
    load.check()
