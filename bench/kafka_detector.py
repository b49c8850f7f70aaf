"""The detector's own process over a real Kafka: reports a CPU-second beside its peer, and how fast it takes its state back.

One broker, the topics of an installation, no other role (bench/kafka/detector.cpp). Reports are on the topic before anybody reads them.
"""
import contextlib
import datetime
import json
import pathlib
import re
import statistics
import subprocess
import tempfile
import time

import harness
import kafka
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
    """The role alone in its process: started for each measurement, in good order stopped after it."""

    def __init__(self, broker, folder, member="detector-1"):
        self.broker, self.member, self.log_path, self.process = broker, member, pathlib.Path(folder) / f"{member}.log", None

    def spawn(self):
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen([servers.BUILD / "bench" / "kafka" / "bench_detector", self.broker.bootstrap, self.member],
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        return self

    def start(self):
        """What it says of itself when it is ready."""
        return servers.line_of(self.spawn().process, "ready")

    def look(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return servers.line_of(self.process, "looked")

    def stop(self):
        self.process.stdin.close()
        told = servers.line_of(self.process, "stopped")
        if self.process.wait(timeout=60) != 0:
            raise SystemExit(f"the detector did not end well:\n{self.log_path.read_text()[-4000:]}")
        return told

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def restored(self):
        """(devices, seconds) of taking the state of all partitions back, several at once."""
        told = re.findall(r"(\S+)Z.*partition_owned.*?devices\W+(\d+).*?restore_ms\W+(\d+)", self.log_path.read_text())
        ends = [datetime.datetime.fromisoformat(at) for at, _, _ in told]
        starts = [end - datetime.timedelta(milliseconds=int(ms)) for end, (_, _, ms) in zip(ends, told)]
        return sum(int(devices) for _, devices, _ in told), (max(ends) - min(starts)).total_seconds()

    def read_on(self, until):
        """Applies reports until there are so many. What it said of itself then, and when it had stopped; seconds."""
        start = time.monotonic()

        def all_applied():
            told = self.look()
            return told if told["applied"] >= until else None

        told = harness.wait_for("the reports", all_applied, SECONDS_MAX, every=0.1)
        return told, self.stop(), time.monotonic() - start


def fill(broker, devices, reports, seed):
    return bench_kafka("fill", broker.bootstrap, devices, reports, seed)["stretches"]


@contextlib.contextmanager
def prepared():
    """(broker, folder): the topics and the rules are there."""
    with tempfile.TemporaryDirectory() as folder, kafka.Kafka(settings=BROKER) as broker:
        bench_kafka("prepare", broker.bootstrap, PARTITIONS)
        yield broker, folder


@contextlib.contextmanager
def a_fleet(devices):
    """A detector that has stopped and has the state of so many devices; each has reported once."""
    with prepared() as (broker, folder):
        detector = Detector(broker, folder)
        try:
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
                ready = detector.start()
                restores.append(detector.restored())
                read, stopped, seconds = detector.read_on(devices + number * reports)
                count = read["applied"] - ready["applied"]
                reading.append(count / (read["cpuSeconds"] - ready["cpuSeconds"]))
                whole.append(count / (stopped["cpuSeconds"] - ready["cpuSeconds"]))
                walls.append(count / seconds)
                saves.append(read["checkpoints"])

            for measure in ((peer, ours) if number % 2 else (ours, peer)):
                measure()
    middle = statistics.median(bare)
    print(f"{devices} devices, {reports} reports a round, {rounds} rounds, {PARTITIONS} partitions, 20 behaviors; broker {kafka.NEWEST}")
    show("librdkafka's consumer and the bare loop", bare, middle)
    show("the detector, while it reads", reading, middle)
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
            cpus.append(detector.start()["cpuSeconds"])
            restores.append(detector.restored())
            detector.stop()
    show_restores(restores)
    print(f"CPU seconds of the process from its start until it is ready: {statistics.median(cpus):.1f}")
