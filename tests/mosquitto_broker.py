"""A real Mosquitto as an operator's broker: on loopback, over TLS, with users; it keeps its sessions when it is stopped."""
import os
import pathlib
import signal
import socket
import struct
import subprocess
import threading

from harness import free_ports, run, wait_for
from mqtt_client import CONNACK, PUBACK, packet, text

CONFIG = """\
persistence true
persistence_location {folder}/
allow_anonymous false
password_file {folder}/passwords
acl_file {folder}/acl
max_queued_messages 100000
log_dest file {folder}/mosquitto.log
listener {port} 127.0.0.1
listener {tls_port} 127.0.0.1
cafile {folder}/ca.crt
certfile {folder}/server.crt
keyfile {folder}/server.key
"""
ACL = """\
user device
topic write #
user collector
topic read #
"""


class Mosquitto:
    """Users `device` and `collector`, whose password is their name."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.port, self.tls_port = free_ports(2)
        self.ca = self.folder / "ca.crt"
        self._make_certificates()
        for user in ("device", "collector"):
            create = [] if (self.folder / "passwords").exists() else ["-c"]
            run("mosquitto_passwd", *create, "-b", self.folder / "passwords", user, user)
            (self.folder / f"{user}.password").write_text(user)
            (self.folder / f"{user}.password").chmod(0o600)
        (self.folder / "acl").write_text(ACL)
        (self.folder / "mosquitto.conf").write_text(
            CONFIG.format(folder=self.folder, port=self.port, tls_port=self.tls_port) + f"user {os.environ.get('USER', 'root')}\n")
        self.process = None

    def _make_certificates(self):
        ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")
        run("openssl", "req", "-x509", *ec, "-keyout", self.folder / "ca.key", "-out", self.ca, "-subj", "/CN=Their authority",
            "-days", "30")
        run("openssl", "req", "-new", *ec, "-keyout", self.folder / "server.key", "-out", self.folder / "server.csr", "-subj",
            "/CN=broker")
        names = self.folder / "names"
        names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        run("openssl", "x509", "-req", "-in", self.folder / "server.csr", "-CA", self.ca, "-CAkey", self.folder / "ca.key",
            "-extfile", names, "-days", "30", "-out", self.folder / "server.crt")

    def start(self):
        self.process = subprocess.Popen(["mosquitto", "-c", str(self.folder / "mosquitto.conf")])
        wait_for("Mosquitto", self._answers)
        return self

    def _answers(self):
        assert self.process.poll() is None, (self.folder / "mosquitto.log").read_text()[-2000:]
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def stop(self):
        """In good order: what it holds for sessions is on its disk."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=20)

    def restart(self):
        self.stop()
        return self.start()

    def publish(self, topic, payload, *more):
        run("mosquitto_pub", "-h", "127.0.0.1", "-p", self.port, "-u", "device", "-P", "device", "-V", "5", "-q", "1", "-t", topic,
            "-m", payload, *more)


class Publisher:
    """Publishes with QoS 1 until told to stop, each message once, one after the other; connects again for ever. `acknowledged` has
    what the broker took for a subscriber."""

    def __init__(self, broker, messages):
        self.broker, self.messages, self.acknowledged = broker, messages, []
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def finish(self):
        self.done.set()
        self.thread.join(timeout=60)
        assert not self.thread.is_alive()

    def _run(self):
        connection, packet_id = None, 0
        for name, topic, payload in self.messages:
            while connection is None and not self.done.is_set():
                connection = self._connect_if_there()
            if self.done.is_set():
                break
            packet_id = packet_id % 65535 + 1
            try:
                connection.sendall(packet(0x32, text(topic) + struct.pack(">H", packet_id) + b"\x00" + payload))
                kind, body = _read(connection)
                # 0x10: it went to nobody. Mosquitto 2.0.11 forgets shared subscriptions when it is restarted, until they are made anew.
                if kind == PUBACK and body[2:3] in (b"", b"\x00"):
                    self.acknowledged.append(name)
            except OSError:  # whether the broker has it nobody knows: it is not said again, so that no message is two
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _connect_if_there(self):
        try:
            return self._connect()
        except OSError:
            self.done.wait(0.05)
            return None

    def _connect(self):
        connection = socket.create_connection(("127.0.0.1", self.broker.port), timeout=10)
        head = text("MQTT") + bytes([5, 0xC2]) + struct.pack(">H", 60) + b"\x00"
        connection.sendall(packet(0x10, head + text("publisher") + text("device") + text("device")))
        kind, body = _read(connection)
        if kind != CONNACK or body[1] != 0:
            connection.close()
            raise OSError("refused")
        return connection


def _read(connection):
    def exactly(n):
        out = b""
        while len(out) < n:
            got = connection.recv(n - len(out))
            if not got:
                raise OSError("closed")
            out += got
        return out

    first, length, shift = exactly(1)[0], 0, 0
    while True:
        byte = exactly(1)[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return first & 0xF0, exactly(length)
