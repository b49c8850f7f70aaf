"""The detector's own process over a real Kafka: reports a CPU-second beside its peer, and how fast it takes its state back.

One broker, the topics of an installation, no other role. Reports are on the topic before anybody reads them.
"""
import contextlib
import json
import pathlib
import re
import resource
import statistics
import subprocess
import tempfile
import time

import distributed
import harness
import kafka
import postgres
import servers

PROGRAM = servers.BUILD / "bench" / "kafka" / "bench_kafka"
PARTITIONS = 8
# As an operator leaves it: the tests let the broker clean up all the time.
BROKER = {"log.cleaner.backoff.ms": 15_000, "log.retention.check.interval.ms": 300_000, "log.segment.bytes": 256 << 20}
SECONDS_MAX = 900


def bench_kafka(*words):
    """The JSON line that it ends with."""
    result = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, timeout=SECONDS_MAX)
    if result.returncode != 0:
        raise SystemExit(f"bench_kafka {words[0]}: {result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


class Detector:
    """The role's process: started for each measurement, in good order stopped after it."""

    def __init__(self, folder, broker, store):
        self.installation = distributed.Distributed(folder, broker, store, partitions=PARTITIONS)
        self.role = self.installation.roles["detector-1"]

    def start(self):
        self.role.spawn().wait_ready(SECONDS_MAX)

    def applied(self):
        return self.role.metrics().get('fleetward_detector_records{outcome="report_applied"}', 0)

    def cpu_seconds(self):
        return servers.cpu_seconds(self.role.process.pid)

    def checkpoints(self):
        return int(self.role.metrics().get("fleetward_detector_checkpoints_total", 0))

    def restored(self):
        """(devices, seconds) of taking the state of all partitions back, one after the other."""
        told = [(int(d), int(ms)) for d, ms in re.findall(r"partition_owned.*?devices\W+(\d+).*?restore_ms\W+(\d+)", self.role.log())]
        return sum(d for d, _ in told), sum(ms for _, ms in told) / 1000

    def read_on(self, until):
        """Applies reports until there are so many; (reports, CPU seconds, CPU seconds with the last checkpoint, seconds)."""
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        before, cpu, start = self.applied(), self.cpu_seconds(), time.monotonic()
        harness.wait_for("the reports", lambda: self.applied() >= until, SECONDS_MAX, every=0.25)
        reading, seconds, saved = self.cpu_seconds() - cpu, time.monotonic() - start, self.checkpoints()
        if self.role.stop(seconds=120) != 0:
            raise SystemExit(f"the detector did not end well:\n{self.role.log()[-4000:]}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        whole = after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime - cpu
        return until - before, reading, whole, seconds, saved

    def kill(self):
        if self.role.is_running():
            self.role.kill()


def fill(broker, devices, reports, seed):
    return bench_kafka("fill", broker.bootstrap, devices, reports, seed)["stretches"]


@contextlib.contextmanager
def a_fleet(devices):
    """A detector that has stopped and has the state of so many devices; each has reported once."""
    # PostgreSQL is only for `fleetward init`: a detector has no store.
    with tempfile.TemporaryDirectory() as folder, kafka.Kafka(settings=BROKER) as broker, postgres.Postgres() as store:
        detector = Detector(pathlib.Path(folder), broker, store)
        try:
            bench_kafka("rules", broker.bootstrap)
            fill(broker, devices, devices, 0)
            detector.start()
            detector.read_on(devices)
            yield broker, detector
        finally:
            detector.kill()


def show(name, runs, peer):
    middle = statistics.median(runs)
    print(f"{name:44} {middle / 1000:7.0f} k reports a CPU-second ({min(runs) / 1000:.0f} to {max(runs) / 1000:.0f}), "
          f"{middle / peer:.2f} of the peer")


def run(devices, reports, rounds):
    """Each round: new reports, read by the peer and by the detector, who goes first by turns."""
    bare, reading, whole, restores, walls, saves = [], [], [], [], [], []
    with a_fleet(devices) as (broker, detector):
        for number in range(1, rounds + 1):
            stretches = fill(broker, devices, reports, number)

            def peer():
                told = bench_kafka("bare", broker.bootstrap, devices, stretches)
                assert told["reports"] == reports, told
                bare.append(reports / told["cpuSeconds"])

            def ours():
                detector.start()
                restores.append(detector.restored())
                count, cpu, cpu_whole, seconds, saved = detector.read_on(devices + number * reports)
                reading.append(count / cpu)
                whole.append(count / cpu_whole)
                walls.append(count / seconds)
                saves.append(saved)

            for measure in ((peer, ours) if number % 2 else (ours, peer)):
                measure()
    middle = statistics.median(bare)
    print(f"{devices} devices, {reports} reports a round, {rounds} rounds, {PARTITIONS} partitions, 20 behaviors; broker {kafka.NEWEST}")
    show("librdkafka's consumer and the bare loop", bare, middle)
    show("fleetward run detector, while it reads", reading, middle)
    show("the same with its last checkpoint and end", whole, middle)
    print(f"a second of the clock: {statistics.median(walls) / 1000:.0f} k reports; checkpoints of partitions while it read, by round: {saves}")
    show_restores(restores)


def show_restores(restores):
    rates = [count / seconds for count, seconds in restores]
    print(f"state taken back at the start: {restores[-1][0]} devices, {statistics.median(rates) / 1000:.0f} k devices a second of the clock "
          f"({min(rates) / 1000:.0f} to {max(rates) / 1000:.0f})")


def restore(devices, rounds):
    """The detector is started again and again; each time it takes the state of all partitions back."""
    restores, cpus = [], []
    with a_fleet(devices) as (_, detector):
        for _ in range(rounds):
            detector.start()
            restores.append(detector.restored())
            cpus.append(detector.cpu_seconds())
            detector.read_on(devices)
    show_restores(restores)
    print(f"CPU seconds of the process from its start until it is ready: {statistics.median(cpus):.1f}")
