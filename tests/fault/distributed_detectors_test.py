"""Detectors come, go and hang under load, every role its own process: partitions move with their state, nothing acknowledged is lost,
and no violation, action or page is there twice."""
import os
import signal
import time

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

import kafka_log
from distributed import Distributed
from distributed_load import Load, playbook
from harness import wait_for

VICTIMS = ["victim-hung", "victim-moved", "victim-compacted"]
HERD = 20
STATE = "fleetward.detector-state"
# A table is compacted no sooner than after a day, and never in the segment that is being written: here at once.
COMPACTED_AT_ONCE = {"min.compaction.lag.ms": "0", "min.cleanable.dirty.ratio": "0.01", "segment.ms": "500"}
MOVES = int(os.environ.get("FLEETWARD_MOVES", 8))  # ./dev check --full has many more
PAUSE_SECONDS = 2


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, kafka, postgres, alertmanager):
    server = Distributed(tmp_path_factory.mktemp("detectors"), kafka, postgres, alertmanager=alertmanager, roles={"detector": 2},
                         partitions=8, playbook=playbook(VICTIMS))
    with server.running():
        yield server


def owned(process):
    return process.metrics().get("fleetward_detector_partitions", 0)


def await_all_owned(server):
    """By those that are there, each partition by one."""
    wait_for("each partition to have its detector", lambda: sum(
        owned(p) for p in server.roles.values() if p.role == "detector" and p.is_running()) == server.partitions, 60)


def test_a_detector_that_hangs_past_its_session_is_fenced(fleet, tmp_path):
    """Its partitions are taken over while it stands still; what it still wants to commit when it goes on is refused."""
    hung, other = fleet.roles["detector-1"], fleet.roles["detector-2"]
    with Load(fleet, tmp_path, "hung", victims=VICTIMS[:1]) as load:
        wait_for("both to own partitions", lambda: owned(hung) and owned(other), 60)
        hung.signal(signal.SIGSTOP)
        try:
            load.strike(VICTIMS[0])
            wait_for("its partitions to be taken over", lambda: owned(other) == fleet.partitions, 60)
            load.await_more()
        finally:
            hung.signal(signal.SIGCONT)
        load.await_off(VICTIMS[0])
        wait_for("it to take part again", lambda: owned(hung), 60)
        await_all_owned(fleet)
        load.await_more()
    load.check()


def set_of_topic(kafka, topic, settings, operation=AlterConfigOpType.SET):
    entries = [ConfigEntry(name, value, incremental_operation=operation) for name, value in settings.items()]
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for done in admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)]).values():
        done.result(timeout=30)


def states_of(server, herd):
    """Which device's checkpoint stands where."""
    return {(partition, offset): key for partition, offset, key, *_ in kafka_log.read(server.kafka.bootstrap, STATE)
            if key.startswith(f"{herd}-")}


def test_a_detector_that_hangs_while_its_checkpoints_are_compacted_away(fleet, tmp_path):
    """Whatever it has seen of the table is gone when it goes on: it reads what came after."""
    hung, other = fleet.roles["detector-1"], fleet.roles["detector-2"]
    with Load(fleet, tmp_path, "compacted", devices=HERD, victims=VICTIMS[2:]) as load:
        wait_for("both to own partitions", lambda: owned(hung) and owned(other), 60)
        wait_for("a checkpoint of each device", lambda: len({*states_of(fleet, "compacted").values()}) == HERD, 60, every=0.5)
        hung.signal(signal.SIGSTOP)
        try:
            seen = {*states_of(fleet, "compacted")}
            owned_before = hung.log().count("partition_owned")
            set_of_topic(fleet.kafka, STATE, COMPACTED_AT_ONCE)
            load.strike(VICTIMS[2])
            wait_for("its partitions to be taken over", lambda: owned(other) == fleet.partitions, 60)
            wait_for("all that it has seen of the herd to be compacted away", lambda: not seen & {*states_of(fleet, "compacted")},
                     120, every=1)
        finally:
            hung.signal(signal.SIGCONT)
        load.await_off(VICTIMS[2])
        wait_for("it to take part again", lambda: owned(hung), 60)
        await_all_owned(fleet)
        wait_for("it to have read states anew", lambda: hung.log().count("partition_owned") > owned_before, 60)
        load.await_more()
    load.check()
    set_of_topic(fleet.kafka, STATE, dict.fromkeys(COMPACTED_AT_ONCE), AlterConfigOpType.DELETE)


def test_detectors_that_join_and_leave_all_the_time(fleet, tmp_path):
    """In order and by kill -9, a few seconds apart, so that a move begins while another is under way."""
    third = fleet.add("detector", 3)
    first = fleet.roles["detector-1"]
    with Load(fleet, tmp_path, "moved", victims=VICTIMS[1:]) as load:
        for move in range(MOVES):
            if move == MOVES // 2:
                load.strike(VICTIMS[1])
            process = (third, first)[move % 2]
            if not process.is_running():
                process.spawn()
            elif move % 4 < 2:
                assert process.stop() == 0, process.log()
            else:
                process.kill()
            time.sleep(PAUSE_SECONDS)  # a member more or less every few seconds
        for process in (first, third):
            if not process.is_running():
                process.spawn()
            process.wait_ready()
        await_all_owned(fleet)
        load.await_more()
        load.await_off(VICTIMS[1])
    load.check()
