"""Servers under load, ours and mosquitto, and the load client: started, measured by their CPU time and memory, stopped."""
import json
import os
import pathlib
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "release"
TICKS = os.sysconf("SC_CLK_TCK")


def line_of(process, event):
    """The process's next JSON line, which must tell of that event."""
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{process.args[0]} ended with {process.wait()}")
    told = json.loads(line)
    if told["event"] != event:
        raise SystemExit(f"{event} was expected: {line}")
    return told


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Server:
    """A process that listens on `port`; its CPU seconds and resident bytes."""

    process = None
    port = 0

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)

    def resident_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise SystemExit("no VmRSS")


class Gateway(Server):
    def __init__(self, folder, devices, bus):
        self.name = f"fleetward gateway, {'memory bus' if bus == 'memory' else 'embedded log'}"
        for old in pathlib.Path(folder).glob("bus.db*"):
            old.unlink()
        self.process = subprocess.Popen([BUILD / "bench" / "gateway" / "bench_gateway", bus, folder, str(devices)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.port = line_of(self.process, "ready")["port"]

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


class Mosquitto(Server):
    """Debian's mosquitto, asked to do what the gateway does: client certificates, their names as users, no Nagle delay."""

    name = "mosquitto"

    def __init__(self, folder):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        config = pathlib.Path(folder) / "mosquitto.conf"
        config.write_text(f"""\
listener {self.port} 127.0.0.1
cafile {folder}/ca.pem
certfile {folder}/server.pem
keyfile {folder}/server.key
require_certificate true
use_identity_as_username true
set_tcp_nodelay true
allow_anonymous false
persistence false
log_type error
user root
""")
        self.process = subprocess.Popen(["mosquitto", "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise SystemExit("mosquitto does not start")
                time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=20)


def load(kind, server, folder, connections, seconds=5):
    return subprocess.Popen([BUILD / "bench" / "load" / "bench_load", kind, "--devices-dir", f"{folder}/devices", "--ca-file",
                             f"{folder}/ca.pem", "--port", str(server.port), "--connections", str(connections), "--seconds",
                             str(seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def per_cpu_second(kind, server, folder, connections, seconds):
    """(events a server CPU-second, events a second of the clock, CPU share) of one run of that load."""
    client = load(kind, server, folder, connections, seconds)
    line_of(client, "measuring")
    before = server.cpu_seconds()
    told = line_of(client, "measured")
    used = server.cpu_seconds() - before
    client.stdin.close()
    if client.wait(timeout=120) != 0 or told["refused"] or told["broken"]:
        raise SystemExit(f"{server.name}: the load did not go well: {told}")
    count = told["acknowledged" if kind == "publish" else "connects"]
    return count / used, count / told["seconds"], used / told["seconds"]


def settled(resident_bytes, within=64 << 10, looks=12, seconds=60):
    """What it is when it has not moved for three seconds: what was of use for the handshakes is given back by then."""
    deadline, last = time.monotonic() + seconds, [resident_bytes()]
    while len(last) < looks or max(last) - min(last) > within:
        if time.monotonic() > deadline:
            raise SystemExit("the memory of the server does not come to rest")
        time.sleep(0.25)
        last = [*last, resident_bytes()][-looks:]
    return last[-1]


def bytes_per_idle(server, folder, connections):
    """Resident bytes that one more idle connection takes."""
    before = server.resident_bytes()
    client = load("idle", server, folder, connections)
    line_of(client, "connected")
    after = settled(server.resident_bytes)
    client.stdin.close()
    client.wait(timeout=120)
    return (after - before) / connections
