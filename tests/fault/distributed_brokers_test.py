"""Brokers that end, hang, have no room on their disk, and come back, under load, every role its own process: nothing acknowledged is
lost, no violation, action or page is there twice, and all goes on without a hand and without a new start."""
import contextlib
import signal
import time

import pytest

import kafka as kafka_cluster
from distributed import Distributed
from distributed_load import Load, playbook
from harness import wait_for
from small_disk import SmallDisk

VICTIMS = ["victim-1", "victim-2", "victim-3", "victim-4"]
DISK_BYTES = 256 << 20
HANGS_SECONDS = 12  # longer than a member of a group may be silent


@contextlib.contextmanager
def installation(folder, postgres, alertmanager, brokers, kafka_folder=None):
    with kafka_cluster.Kafka(brokers=brokers, folder=kafka_folder) as cluster:
        server = Distributed(folder, cluster, postgres, alertmanager=alertmanager, playbook=playbook(VICTIMS),
                             roles={"gateway": 2, "detector": 2}, settings={"bus": {"replication": brokers}})
        with server.running():
            yield server


def hang(cluster, i):
    """Reachable: its connections live, new ones are taken by the kernel, and nothing is answered."""
    cluster.signal(i, signal.SIGSTOP)
    try:
        time.sleep(HANGS_SECONDS)
    finally:
        cluster.signal(i, signal.SIGCONT)


@pytest.fixture
def small_disk(tmp_path):
    """The only broker's."""
    disk = SmallDisk(tmp_path / "disk", DISK_BYTES)
    yield disk
    disk.unmount()


@pytest.fixture
def on_one(tmp_path, small_disk, postgres, alertmanager):
    folder = tmp_path / "fleetward"
    with installation(folder, postgres, alertmanager, brokers=1, kafka_folder=small_disk.folder / "kafka") as server:
        yield server


@pytest.fixture
def on_three(tmp_path, postgres, alertmanager):
    with installation(tmp_path / "fleetward", postgres, alertmanager, brokers=3) as server:
        yield server


def fill(cluster, disk):
    """A broker that cannot write ends by itself; it is started again when there is room."""
    disk.fill()
    wait_for("the broker to end", lambda: cluster.processes[0].poll() is not None, 90)
    disk.free()


def test_the_only_broker_restarts_is_killed_hangs_and_has_no_room(on_one, small_disk, tmp_path):
    cluster = on_one.kafka
    faults = [lambda: cluster.stop_broker(0), lambda: cluster.kill(0), lambda: hang(cluster, 0), lambda: fill(cluster, small_disk)]
    with Load(on_one, tmp_path, "one", victims=VICTIMS) as load:
        for victim, fault in zip(VICTIMS, faults):
            load.strike(victim)
            fault()
            if cluster.processes[0].poll() is not None:
                cluster.start_broker(0)
            load.await_more()
            load.await_off(victim)
    load.check()


def test_one_of_three_brokers_is_killed_restarts_and_hangs(on_three, tmp_path):
    cluster = on_three.kafka
    faults = [cluster.kill, cluster.stop_broker, lambda i: hang(cluster, i)]
    with Load(on_three, tmp_path, "three", victims=VICTIMS[:3]) as load:
        for i, (victim, fault) in enumerate(zip(VICTIMS, faults)):
            load.strike(victim)
            fault(i)
            load.await_more()  # by the other two
            load.await_off(victim)
            if cluster.processes[i].poll() is not None:
                cluster.start_broker(i)
            load.await_more()
    load.check()
