"""Other people's MQTT clients as devices: one process each, driven by lines, telling what they see as JSON lines.

Read from standard input, tab-separated: `subscribe TOPIC QOS`, `publish TOPIC QOS PAYLOAD`; its end means: say goodbye.
Printed, one JSON object a line, by `event`: connected (session), refused (code of a CONNACK), failed (any other failed
connect), lost (code of a DISCONNECT, where there was one), subscribed (codes), message (topic, payload, qos), sent (code),
pong. The programs in clients/ only translate; the libraries are as published.
"""
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

from harness import BUILD, ROOT

CLIENTS = pathlib.Path(__file__).parent / "clients"
NODE_MODULES = ROOT / "build" / "node" / "node_modules"
PAHO_C = BUILD / "conformance" / "paho_client"


def compile_paho_c():
    PAHO_C.parent.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(["clang-16", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Werror", "-O1", "-g", "-o", str(PAHO_C),
                           str(CLIENTS / "paho_client.c"), "-lpaho-mqtt3as", "-lpthread"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr


PYTHON = sys.executable
# name: (command, the CONNACK code 5 of MQTT 3.1.1 as the client shows it, the QoS levels that it publishes with)
KINDS = {
    "paho-python-1": ([PYTHON, str(CLIENTS / "paho_client.py"), "--style", "1"], 5, (1, 0, 2)),
    # Style 2 shows all codes as those of MQTT 5.
    "paho-python-2": ([PYTHON, str(CLIENTS / "paho_client.py"), "--style", "2"], 135, (1, 0, 2)),
    "paho-c": ([str(PAHO_C)], 5, (1, 0, 2)),
    "mqttjs": (["node", str(CLIENTS / "mqttjs_client.js")], 5, (1, 0, 2)),
    # AWS's broker takes no QoS 2, and its SDK sends none.
    "awsiot": ([PYTHON, str(CLIENTS / "awsiot_client.py")], 5, (1, 0)),
}
ALL = [(kind, version) for kind in KINDS for version in ("311", "5")]


def thing_of(kind, version):
    return f"{kind}-v{version}"


class Peer:
    """One running client. Waiting is for events after a mark: `wait` moves it on to behind what it returned."""

    def __init__(self, server, kind, version, keep_alive=60, will=None, once=False, keep_session=False, thing=None):
        self.kind, self.version = kind, version
        command, self.refusal_311, self.qos = KINDS[kind]
        self.thing = thing or thing_of(kind, version)
        self.topic = f"$aws/things/{self.thing}/defender/metrics/json"
        folder = server.devices / self.thing
        command = [*command, "--host", "localhost", "--port", str(server.mqtt_port), "--ca", str(server.ca),
                   "--cert", str(folder / "cert.pem"), "--key", str(folder / "key.pem"), "--id", self.thing,
                   "--version", version, "--keep-alive", str(keep_alive)]
        if kind == "awsiot":
            command += ["--trace", str(server.folder / f"{self.thing}-{time.monotonic_ns()}.trace")]
        if will:
            command += ["--will", will]
        command += ["--once"] * once + ["--keep-session"] * keep_session
        self.errors_path = server.folder / f"{self.thing}-{time.monotonic_ns()}.err"
        self.errors = open(self.errors_path, "w")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        env=dict(os.environ, NODE_PATH=str(NODE_MODULES)))
        self.events, self.mark = [], 0
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.events.append(json.loads(line))
                self.changed.notify_all()
        with self.changed:
            self.events.append({"event": "ended"})
            self.changed.notify_all()

    def wait(self, event, seconds=20, **fields):
        """The next such event, whatever came between. Ends by name when it does not come."""
        def is_it(e):
            return e["event"] == event and all(e.get(k) == v for k, v in fields.items())

        deadline = time.monotonic() + seconds
        with self.changed:
            at = self.mark
            while True:
                while at < len(self.events):
                    at += 1
                    if is_it(self.events[at - 1]):
                        self.mark = at
                        return self.events[at - 1]
                left = deadline - time.monotonic()
                assert left > 0, f"{self}: waited {seconds} s for {event} {fields}"
                self.changed.wait(left)

    def __str__(self):
        return (f"{self.kind} {self.version} saw {self.events[self.mark:]} after {self.events[:self.mark]}\n"
                f"{self.errors_path.read_text()[-2000:]}")

    def say(self, *words):
        self.process.stdin.write("\t".join(str(w) for w in words) + "\n")
        self.process.stdin.flush()

    def subscribe(self, topic, qos=1):
        self.say("subscribe", topic, qos)
        return self.wait("subscribed")["codes"]

    def subscribe_replies(self, qos=1):
        for reply in ("accepted", "rejected"):
            codes = self.subscribe(f"{self.topic}/{reply}", qos)
            assert codes == [qos], codes

    def report(self, payload, qos=1, reply="accepted"):
        """Publishes and gives the parsed reply."""
        self.say("publish", self.topic, qos, payload)
        return json.loads(self.wait("message", topic=f"{self.topic}/{reply}")["payload"])

    def seen(self, event):
        with self.changed:
            return [e for e in self.events if e["event"] == event]

    def leave(self):
        """Says goodbye in good order; the exit code."""
        self.process.stdin.close()
        try:
            return self.process.wait(timeout=20)
        finally:
            self.stop()

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.reader.join(10)
        self.process.stdout.close()
        self.errors.close()
