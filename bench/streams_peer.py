"""Kafka Streams doing the static profile beside the detector and the bare loop: the same broker, the same records, one run.

The peer is the Java program in bench/kafka_streams, once with its store in RocksDB and once in memory, both with a changelog
and exactly once. Its violations must be the detector's; a difference fails the benchmark.
"""
import json
import os
import pathlib
import statistics
import subprocess
import time

import harness
import kafka
import kafka_detector
import servers

SOURCES = servers.ROOT / "bench" / "kafka_streams"
FOLDER = kafka.JARS / "streams"  # jars, and beside them the classes
JAVAC = kafka.JAVA.removesuffix("java") + "javac"
STORES = ("rocksdb", "memory")
TOPICS = {"rules": "fleetward.rules", "devices": "fleetward.devices", "violations": "fleetward.violations"}


def class_path():
    """Compiled when a source, or what names the jars, is newer than the classes."""
    pom, classes = SOURCES / "pom.xml", FOLDER / "classes"
    jars = kafka.fetched(pom, FOLDER / "jars")
    if not (FOLDER / "jars" / f"kafka-streams-{kafka.NEWEST}.jar").exists():
        raise SystemExit(f"the peer is not of the broker's version, {kafka.NEWEST}: bench/kafka_streams/pom.xml")
    sources, made = sorted(SOURCES.glob("*.java")), classes / ".made"
    if not made.exists() or any(source.stat().st_mtime > made.stat().st_mtime for source in [pom, *sources]):
        harness.run(JAVAC, "-Xlint:all", "-Werror", "-d", classes, "-cp", jars, *sources, timeout=300)
        made.touch()
    return f"{classes}:{jars}"


def values(broker, topic):
    """Of all committed records on the topic, read until nothing has come for a while; JSON."""
    read = broker.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", broker.bootstrap, "--topic", topic,
                       "--from-beginning", "--isolation-level", "read_committed", "--timeout-ms", "20000", timeout=300)
    return [json.loads(line) for line in read.stdout.splitlines() if line.startswith("{")]


def ends(broker, topic):
    """Of its partitions: how many records have been written."""
    told = broker.tool("org.apache.kafka.tools.GetOffsetShell", "--bootstrap-server", broker.bootstrap, "--topic", topic)
    return [int(line.rpartition(":")[2]) for line in told.stdout.splitlines()]


class Streams:
    """The peer's process. It lives through all rounds and is paused while others are measured: what the JVM compiles
    to become quick it compiles while it reads the first reports, which are not measured."""

    def __init__(self, broker, folder, store, profile):
        self.output, self.log_path, self.applied = f"peer.violations.{store}", folder / f"{store}.log", 0
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(
                [kafka.JAVA, "-Xms2g", "-Xmx2g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", class_path(),
                 "fleetward.bench.Main", broker.bootstrap, store, TOPICS["devices"], self.output, profile, folder / store],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)

    def say(self, word):
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return servers.line_of(self.process, "looked")["applied"]

    def read_on(self, until):
        """Applies reports until there are so many, then pauses: (CPU seconds, seconds of the clock)."""
        cpu, start = servers.cpu_seconds(self.process.pid), time.monotonic()
        self.say("resume")
        harness.wait_for("the peer", lambda: self.say("look") >= until, kafka_detector.SECONDS_MAX, every=0.1)
        self.say("pause")
        return servers.cpu_seconds(self.process.pid) - cpu, time.monotonic() - start

    def stop(self):
        self.process.stdin.close()
        servers.line_of(self.process, "stopped")
        if self.process.wait(timeout=60) != 0:
            raise SystemExit(f"the peer did not end well:\n{self.log_path.read_text()[-4000:]}")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def write_profile(broker, path):
    """The rules as the detector has them."""
    profiles = [event["data"] for event in values(broker, TOPICS["rules"]) if "securityProfileName" in event["data"]]
    assert len(profiles) == 1, profiles
    path.write_text(json.dumps(profiles[0]))
    return path


def compared(violations, ends):
    """What is compared: who, what, which way, when and since when, after how many datapoints, by which record. Not beyond
    the last report, behind which only one of them may have read."""
    seen = set()
    for v in violations:
        if v["offset"] >= ends[v["partition"]]:
            continue
        behavior = v["behavior"]["name"] if isinstance(v["behavior"], dict) else v["behavior"]
        seen.add((v["thingName"], behavior, v["violationEventType"], v["violationEventTime"], v["violationStartTime"],
                  v["datapoints"], v["partition"], v["offset"]))
    return seen


def compare(broker, outputs, stretches):
    """Fails on a difference between ours and a peer's. Ours may be there twice, as at least once has it; the peer's may not."""
    ends = {int(partition): int(end) for partition, _, end in (s.split(":") for s in stretches.split(","))}
    ours = compared([event["data"] for event in values(broker, TOPICS["violations"])], ends)
    if not ours:
        raise SystemExit("there are no violations: nothing is compared")
    for output in outputs:
        told = values(broker, output)
        theirs = compared(told, ends)
        if theirs != ours:
            few = "\n".join(map(str, [*sorted(ours - theirs)[:5], "beside", *sorted(theirs - ours)[:5]]))
            raise SystemExit(f"{output}: {len(ours - theirs)} of our {len(ours)} violations are not there and "
                             f"{len(theirs - ours)} others are:\n{few}")
        if len({tuple(v.values()) for v in told}) != len(told):
            raise SystemExit(f"{output}: a violation is there twice")
    kinds = sorted({behavior for _, behavior, *_ in ours}, key=lambda name: int(name[1:]))
    print(f"violations: {len(ours)} of {len(kinds)} behaviors ({', '.join(kinds)}), the same from all")


def show(name, runs, ours):
    middle = statistics.median(runs)
    print(f"{name:44} {middle / 1000:7.1f} k reports a CPU-second ({min(runs) / 1000:.1f} to {max(runs) / 1000:.1f}); "
          f"ours is {ours / middle:.2f} times that")


class Run:
    """One run: what was measured by name, a value a round."""

    def __init__(self, broker, folder, devices):
        self.broker, self.devices, self.applied, self.per_cpu, self.per_second = broker, devices, 0, {}, {}
        self.detector = kafka_detector.Detector(broker, folder)
        self.peers = {}

    def put_rules_in_force(self):
        """The detector says in each partition that it begins and from where the rules apply: before the first report."""
        self.detector.start()
        harness.wait_for("the marks", lambda: min(ends(self.broker, TOPICS["devices"])) >= 2, 60, every=0.5)
        self.detector.stop()

    def bare(self, stretches, reports):
        told = kafka_detector.bench_kafka("bare", self.broker.bootstrap, self.devices, stretches)
        assert told["reports"] == reports, told
        self.note("bare", reports, told["cpuSeconds"], told["seconds"])

    def ours(self):
        ready = self.detector.start()  # it may have read some already
        read, stopped, seconds = self.detector.read_on(self.applied)
        assert read["applied"] == self.applied, read
        reports = read["applied"] - ready["applied"]
        self.note("reading", reports, read["cpuSeconds"] - ready["cpuSeconds"], seconds)
        self.note("whole", reports, stopped["cpuSeconds"] - ready["cpuSeconds"], seconds)

    def peer(self, store, reports):
        self.note(store, reports, *self.peers[store].read_on(self.applied))

    def note(self, name, reports, cpu_seconds, seconds):
        self.per_cpu.setdefault(name, []).append(reports / cpu_seconds)
        self.per_second.setdefault(name, []).append(reports / seconds)

    def round(self, number, stretches, reports):
        """Who goes first changes from round to round."""
        self.applied += reports
        turns = [lambda: self.bare(stretches, reports), self.ours,
                 *(lambda store=store: self.peer(store, reports) for store in STORES)]
        first = number % len(turns)
        for measure in turns[first:] + turns[:first]:
            measure()


def run(devices, reports, rounds):
    """First each device reports once, which is not measured. Then in each round all read the same new reports."""
    with kafka_detector.prepared() as (broker, folder):
        folder = pathlib.Path(folder)
        this = Run(broker, folder, devices)
        try:
            this.put_rules_in_force()
            profile = write_profile(broker, folder / "profile.json")
            this.peers = {store: Streams(broker, folder, store, profile) for store in STORES}
            for peer in this.peers.values():
                servers.line_of(peer.process, "ready")
                peer.say("pause")
            this.round(0, kafka_detector.fill(broker, devices, devices, 0), devices)
            this.per_cpu.clear()
            this.per_second.clear()
            for number in range(1, rounds + 1):
                stretches = kafka_detector.fill(broker, devices, reports, number)
                this.round(number, stretches, reports)
            for peer in this.peers.values():
                peer.stop()
            compare(broker, [peer.output for peer in this.peers.values()], stretches)
        finally:
            this.detector.kill()
            for peer in this.peers.values():
                peer.kill()
    tell(this, devices, reports, rounds)


def tell(this, devices, reports, rounds):
    print(f"{devices} devices, {reports} reports a round, {rounds} rounds, {kafka_detector.PARTITIONS} partitions, 20 behaviors; "
          f"broker and Kafka Streams {kafka.NEWEST}; load average {os.getloadavg()[1]:.0f}")
    ours = statistics.median(this.per_cpu["whole"])
    for name, what in (("bare", "librdkafka's consumer and the bare loop"), ("reading", "the detector, while it reads"),
                       ("whole", "the same with its last checkpoint and end"), ("rocksdb", "Kafka Streams, RocksDB (its default)"),
                       ("memory", "Kafka Streams, in memory")):
        show(what, this.per_cpu[name], ours)
    print("k reports a second of the clock: " + ", ".join(f"{name} {statistics.median(runs) / 1000:.0f}"
                                                          for name, runs in this.per_second.items() if name != "whole"))
