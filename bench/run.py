#!/usr/bin/env python3
"""Benchmarks, one command each. Without a name: the list. Everything runs in release mode.

./dev bench latency [N]    breach sent to session cut, as the device sees it, and where the time goes
./dev bench detect [...]   parse and judge reports beside a bare loop (bench/detect/README.md)
./dev bench gateway [R]    reports (QoS 1, mutual TLS, 500 devices) a server CPU-second, beside mosquitto; R rounds
./dev bench connect [R]    connections (mutual TLS 1.3 and CONNECT) a server CPU-second, beside mosquitto
./dev bench idle [N]       memory of an idle connection, N of them, beside mosquitto
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


def latency(count=100):
    build("fleetward")
    import harness
    with tempfile.TemporaryDirectory() as folder:
        server = harness.Fleetward(pathlib.Path(folder), mode="enforce").start()
        try:
            # A group and a profile for each device: no cap, brake or canary of another stands in the way.
            print(f"preparing {count} devices", flush=True)
            for i in range(count):
                server.enrol(f"l{i}", group=f"g{i}")
                server.request("PUT", f"/v1/profiles/p{i}", {"targets": [f"group/g{i}"], "behaviors": [
                    {"name": "ports", "metric": "aws:listening-tcp-ports",
                     "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 8883]}}}]})
            harness.wait_for("the rules in force", lambda: harness.publish(server, f"l{count - 1}", harness.report(1), check=False).returncode == 0)
            cuts = []
            for i in range(count):
                device = Device(server, f"l{i}")
                cuts.append(device.publish_and_wait_for_the_cut(harness.report(2, ports=(22, 48101))))
                # One at a time, quiet: the next begins when this one's action is proven.
                harness.wait_for("proof", lambda: [a for a in server.get(f"/v1/actions?thing=l{i}")["actions"]
                                                   if a["state"] == "in_effect"], every=0.02)
            actions = [server.get(f"/v1/actions?thing=l{i}")["actions"][-1] for i in range(count)]
        finally:
            server.stop()
    stages = {stage: [a["stopwatch"][stage] - a["stopwatch"]["received"] for a in actions]
              for stage in ("detected", "decided", "enforced", "verified")}
    print(f"machine: {machine()}")
    print(f"breach sent to session cut, seen by the device, quiet, {count} times: "
          f"p50 {quantile(cuts, .5) * 1000:.1f} ms, p99 {quantile(cuts, .99) * 1000:.1f} ms, max {max(cuts) * 1000:.1f} ms")
    for stage, values in stages.items():
        print(f"  received to {stage:9} p50 {quantile(values, .5):4} ms  p99 {quantile(values, .99):4} ms  mean {statistics.mean(values):6.1f} ms")


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


BENCHMARKS = {"latency": latency, "detect": detect, "gateway": gateway, "connect": connect, "idle": idle}


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS:
        print(__doc__.strip())
        return 0 if len(sys.argv) < 2 else 2
    name, arguments = sys.argv[1], sys.argv[2:]
    BENCHMARKS[name](*(arguments if name == "detect" else [int(a) for a in arguments]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
