#!/usr/bin/env python3
"""Benchmarks, one command each. Without a name: the list. Everything runs in release mode.

./dev bench latency [N]    breach sent to session cut, as the device sees it, and where the time goes; quiet and at half load
./dev bench detect [...]   parse and judge reports beside a bare loop (bench/detect/README.md)
./dev bench gateway [R]    reports (QoS 1, mutual TLS, 500 devices) a server CPU-second, beside mosquitto; R rounds
./dev bench connect [R]    connections (mutual TLS 1.3 and CONNECT) a server CPU-second, beside mosquitto
./dev bench idle [N]       memory of an idle connection, N of them, beside mosquitto
./dev bench hostile [S [R]]  acknowledgement time of healthy devices, quiet and under attack; S seconds each, R rounds
./dev bench crl [N [R]]    a CRL of N entries, beside OpenSSL's objects; R rounds
./dev bench kafka [D [N [R]]]   the detector alone reading D devices' reports from Kafka, N a round, beside librdkafka and a bare loop
./dev bench streams [D [N [R]]]   the same beside Kafka Streams too, whose violations must be ours (bench/kafka_streams)
./dev bench restore [D [R]]  how fast a detector that starts takes back the state of D devices; R starts
./dev bench distributed [N]  all roles separate over Kafka and PostgreSQL: sustained rate, breach sent to session cut, N times at a
                           tenth and at half of that rate
./dev bench rebalance [R [S]]  how long reports wait for their evaluation while detectors come and go; R reports a second, S seconds each
./dev bench ocsp [S [R]]   OCSP answers a CPU-second, in process and over HTTP, beside `openssl ocsp`; S seconds each, R rounds
"""
import os
import pathlib
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "release"
os.environ["FLEETWARD_BUILD"] = str(BUILD)
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench")]
LOAD_DEVICES = 500


def build(*targets):
    subprocess.run([ROOT / "dev", "build", *targets], check=True, env=dict(os.environ, FLEETWARD_PRESET="release"),
                   stdout=subprocess.DEVNULL)


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    return f"{os.cpu_count()} cores, {model}, Linux {os.uname().release}"


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


class Device:
    """A device's MQTT 5 connection, as small as can be."""

    def __init__(self, server, thing):
        folder = server.devices / thing
        context = ssl.create_default_context(cafile=str(server.ca))
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self.socket = context.wrap_socket(socket.create_connection(("127.0.0.1", server.mqtt_port)), server_hostname="localhost")
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.thing = thing
        name = thing.encode()
        self._send(0x10, b"\x00\x04MQTT\x05\x02\x00\x3c\x00" + struct.pack(">H", len(name)) + name)
        assert self.socket.recv(1024)[0] == 0x20, "no CONNACK"

    def _send(self, header, body):
        length, n = b"", len(body)
        while True:
            length += bytes([n % 128 | (0x80 if n > 127 else 0)])
            n //= 128
            if not n:
                break
        self.socket.sendall(bytes([header]) + length + body)

    def publish_and_wait_for_the_cut(self, payload):
        """Seconds from sending the report to the server's DISCONNECT."""
        topic = f"$aws/things/{self.thing}/defender/metrics/json".encode()
        self.socket.settimeout(20)
        start = time.perf_counter()
        self._send(0x32, struct.pack(">H", len(topic)) + topic + b"\x00\x01\x00" + payload.encode())
        while True:
            data = self.socket.recv(4096)
            if not data or b"\xe0" in data and b"\x98" in data:
                return time.perf_counter() - start


def log_rate(folder):
    """Reports a second of the clock that the gateway alone carries on the embedded log, as ./dev bench gateway measures it."""
    import servers
    server = servers.Gateway(folder, LOAD_DEVICES, "embedded")
    try:
        return servers.per_cpu_second("publish", server, folder, LOAD_DEVICES, 5)[1]
    finally:
        server.stop()


class Load:
    """So many reports a second from other devices, all the time."""

    def __init__(self, server, per_second):
        self.process = subprocess.Popen([BUILD / "bench" / "load" / "bench_load", "publish", "--devices-dir", server.devices / "load",
                                         "--ca-file", server.ca, "--host", "localhost", "--port", str(server.mqtt_port), "--connections",
                                         str(LOAD_DEVICES), "--per-second", str(per_second), "--seconds", "3600"], stdout=subprocess.PIPE,
                                        text=True)
        assert "measuring" in self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()  # its measurement is not what is wanted
        self.process.wait()


def make_breaching(server, prefix, count):
    """A group and a profile for each device: no cap, brake or canary of another stands in the way."""
    import harness
    for i in range(count):
        server.enrol(f"{prefix}{i}", group=f"g-{prefix}{i}")
        server.request("PUT", f"/v1/profiles/p-{prefix}{i}", {"targets": [f"group/g-{prefix}{i}"], "behaviors": [
            {"name": "ports", "metric": "aws:listening-tcp-ports",
             "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 8883]}}}]})
    harness.wait_for("the rules in force", lambda: harness.publish(server, f"{prefix}{count - 1}", harness.report(1), check=False).returncode == 0)


def cut_each(server, prefix, count):
    """Seconds from breach to cut of each device in turn, and their actions."""
    import harness
    cuts = []
    for i in range(count):
        device = Device(server, f"{prefix}{i}")
        cuts.append(device.publish_and_wait_for_the_cut(harness.report(2, ports=(22, 48101))))
        # One at a time: the next begins when this one's action is proven.
        harness.wait_for("proof", lambda: [a for a in server.get(f"/v1/actions?thing={prefix}{i}")["actions"]
                                           if a["state"] == "in_effect"], every=0.02)
    return cuts, [server.get(f"/v1/actions?thing={prefix}{i}")["actions"][-1] for i in range(count)]


def tell_cuts(what, cuts, actions):
    print(f"breach sent to session cut, seen by the device, {what}, {len(cuts)} times: p50 {quantile(cuts, .5) * 1000:.1f} ms, "
          f"p99 {quantile(cuts, .99) * 1000:.1f} ms, max {max(cuts) * 1000:.1f} ms")
    for stage in ("detected", "decided", "enforced", "verified"):
        values = [a["stopwatch"][stage] - a["stopwatch"]["received"] for a in actions]
        print(f"  received to {stage:9} p50 {quantile(values, .5):4} ms  p99 {quantile(values, .99):4} ms  mean {statistics.mean(values):6.1f} ms")


def latency(count=100):
    build("fleetward", "bench_gateway", "bench_load")
    import harness
    with tempfile.TemporaryDirectory() as folder:
        rate = log_rate(folder)
        server = harness.Fleetward(pathlib.Path(folder) / "f", mode="enforce",
                                   settings={"gateway": {"address_connections_burst": 10_000}}).start()
        try:
            print(f"preparing {2 * count + LOAD_DEVICES} devices", flush=True)
            for prefix in ("quiet-", "loaded-"):
                make_breaching(server, prefix, count)
            server.cli("things", "enrol", "--count", str(LOAD_DEVICES), "--prefix", "load-", "--group", "load", "--out",
                       server.devices / "load")
            quiet = cut_each(server, "quiet-", count)
            accepted = 'fleetward_gateway_reports_total{result="accepted"}'
            with Load(server, int(rate / 2)):
                before, start = server.metrics()[accepted], time.monotonic()
                loaded = cut_each(server, "loaded-", count)
                carried = (server.metrics()[accepted] - before) / (time.monotonic() - start)
        finally:
            server.stop()
    print(f"machine: {machine()}")
    tell_cuts("quiet", *quiet)
    print(f"the gateway alone carries {rate:.0f} reports a second on the embedded log (clock, load on the same cores); half of it asked "
          f"for, {carried:.0f} a second acknowledged by all roles together")
    tell_cuts("at half load", *loaded)


def detect(*arguments):
    build("bench_detect")
    program = next(p for p in (BUILD / "bench" / "detect").iterdir() if p.name == "bench_detect")
    subprocess.run([program, *arguments], check=True)


def rounds_beside_mosquitto(kind, buses, connections, rounds):
    """Interleaved: each round runs every server once."""
    build("bench_gateway", "bench_load")
    import servers
    seconds, figures = 5, {}
    with tempfile.TemporaryDirectory() as folder:
        makers = [(lambda bus=bus: servers.Gateway(folder, 500, bus)) for bus in buses] + [lambda: servers.Mosquitto(folder)]
        for _ in range(rounds):
            for make in makers:
                server = make()
                try:
                    figures.setdefault(server.name, []).append(servers.per_cpu_second(kind, server, folder, connections, seconds))
                finally:
                    server.stop()
    print(f"machine: {machine()}")
    peer = statistics.median(f[0] for f in figures["mosquitto"])
    for name, runs in figures.items():
        per_cpu, per_second, share = (statistics.median(column) for column in zip(*runs))
        low, high = min(r[0] for r in runs), max(r[0] for r in runs)
        print(f"{name:32} {per_cpu:8.0f} a CPU-second ({low:.0f} to {high:.0f}), {per_cpu / peer:.2f} of mosquitto; "
              f"{per_second:.0f} a second, {share:.2f} cores")


def gateway(rounds=3):
    rounds_beside_mosquitto("publish", ["memory", "embedded"], 500, rounds)


def connect(rounds=3):
    rounds_beside_mosquitto("connect", ["memory"], 16, rounds)


def idle(count=5000):
    build("bench_gateway", "bench_load")
    import servers
    with tempfile.TemporaryDirectory() as folder:
        figures = {}
        for make in (lambda: servers.Gateway(folder, count, "memory"), lambda: servers.Mosquitto(folder)):
            server = make()
            try:
                figures[server.name] = servers.bytes_per_idle(server, folder, count)
            finally:
                server.stop()
    print(f"machine: {machine()}")
    for name, size in figures.items():
        print(f"{name:32} {size / 1024:6.1f} KiB an idle connection in the process (the kernel's share is the same for both), "
              f"{size / figures['mosquitto']:.2f} of mosquitto")


def hostile(seconds=8, rounds=2):
    build("fleetward")
    import attacks
    print(f"machine: {machine()}")
    attacks.run(seconds, rounds)


def crl(entries=1_000_000, rounds=3):
    build("bench_pki")
    import revocation
    print(f"machine: {machine()}")
    revocation.crl(entries, rounds)


def ocsp(seconds=3, rounds=3):
    build("fleetward", "bench_pki")
    import revocation
    print(f"machine: {machine()}")
    revocation.ocsp(seconds, rounds)


def kafka(devices=1_000_000, reports=2_000_000, rounds=3):
    build("bench_detector", "bench_kafka")
    import kafka_detector
    print(f"machine: {machine()}")
    kafka_detector.run(devices, reports, rounds)


def streams(devices=200_000, reports=1_000_000, rounds=2):
    build("bench_detector", "bench_kafka")
    import streams_peer
    print(f"machine: {machine()}")
    streams_peer.run(devices, reports, rounds)


def restore(devices=1_000_000, rounds=3):
    build("bench_detector", "bench_kafka")
    import kafka_detector
    print(f"machine: {machine()}")
    kafka_detector.restore(devices, rounds)


def distributed(count=60):
    build("fleetward", "bench_load")
    import separate_roles
    print(f"machine: {machine()}")
    open_doors = {"gateway": {"address_connections_burst": 10_000}}
    with separate_roles.installation(settings=open_doors) as (server, broker, store):
        print(f"preparing {3 * count + LOAD_DEVICES} devices", flush=True)
        for prefix in ("quiet-", "tenth-", "half-"):
            make_breaching(server, prefix, count)
        server.cli("things", "enrol", "--count", str(LOAD_DEVICES), "--prefix", "load-", "--group", "load", "--out",
                   server.devices / "load")
        quiet = cut_each(server, "quiet-", count)
        accepted, evaluated, cores = separate_roles.sustained(server, broker, store, 15)
        separate_roles.wait_applied(server)
        separate_roles.show_sustained(accepted, evaluated, cores)
        tell_cuts("quiet", *quiet)
        for prefix, share in (("tenth-", 10), ("half-", 2)):
            with Load(server, int(evaluated / share)):
                cuts = cut_each(server, prefix, count)
            tell_cuts(f"at {int(evaluated / share)} reports a second (1/{share})", *cuts)


def rebalance(per_second=1000, seconds=20):
    build("bench_detector", "bench_kafka")
    import separate_roles
    print(f"machine: {machine()}")
    separate_roles.rebalances(per_second, seconds)


BENCHMARKS = {"kafka": kafka, "streams": streams, "restore": restore, "distributed": distributed, "rebalance": rebalance,
              "hostile": hostile, "crl": crl, "ocsp": ocsp, "latency": latency, "detect": detect, "gateway": gateway,
              "connect": connect, "idle": idle}


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS:
        print(__doc__.strip())
        return 0 if len(sys.argv) < 2 else 2
    name, arguments = sys.argv[1], sys.argv[2:]
    BENCHMARKS[name](*(arguments if name == "detect" else [int(a) for a in arguments]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
