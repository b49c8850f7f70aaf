"""What the hostile suites share: clients that misbehave below MQTT, devices that go on reporting meanwhile, and what it all costs
the server: memory, descriptors, counters.

Attackers come from addresses of their own (127.1.x.y), so that limits of an address are theirs and not those of the healthy.
"""
import contextlib
import os
import pathlib
import re
import socket
import ssl
import struct
import threading

from harness import BUILD, Fleetward, report, wait_for
from mqtt_client import CONNACK, DISCONNECT, PUBACK, MqttClient, packet, text

MIB = 1 << 20


# ---- the attackers' side

def connect_from(address, port, seconds=20):
    """A TCP connection from that address of ours."""
    raw = socket.create_connection(("127.0.0.1", port), timeout=seconds, source_address=(address, 0))
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return raw


def address(n):
    return f"127.1.{n // 250}.{n % 250 + 1}"


def client_context(server, thing=None, version=None):
    context = ssl.create_default_context(cafile=str(server.ca))
    if thing is not None:
        context.load_cert_chain(server.devices / thing / "cert.pem", server.devices / thing / "key.pem")
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def tls_from(server, thing, source="127.0.0.1", context=None):
    """TLS with the thing's certificate, and nothing said yet."""
    return (context or client_context(server, thing)).wrap_socket(connect_from(source, server.mqtt_port), server_hostname="localhost")


def connect_packet(client_id, version=5, keep_alive=60, flags=0x02, properties=b"\x00", rest=b""):
    head = text("MQTT") + bytes([version, flags]) + struct.pack(">H", keep_alive)
    return packet(0x10, head + (properties if version == 5 else b"") + text(client_id) + rest)


def publish_packet(topic, payload, packet_id=1, first=0x32, properties=b"\x00", version=5):
    if isinstance(topic, str):
        topic = text(topic)
    number = struct.pack(">H", packet_id) if first & 0x06 else b""
    return packet(first, topic + number + (properties if version == 5 else b"") + payload)


def exactly(tls, count):
    """None: the other side has closed before."""
    out = b""
    while len(out) < count:
        try:
            some = tls.recv(count - len(out))
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError, BrokenPipeError):
            return None
        if not some:
            return None
        out += some
    return out


def packets_until_close(tls):
    """[(type, body)] of all that comes until the server closes; it has to."""
    found = []
    while True:
        first = exactly(tls, 1)
        if first is None:
            return found
        length, shift = 0, 0
        while True:
            byte = exactly(tls, 1)
            if byte is None:
                return found
            length |= (byte[0] & 0x7F) << shift
            shift += 7
            if not byte[0] & 0x80:
                break
        body = exactly(tls, length)
        if body is None:
            return found
        found.append((first[0] & 0xF0, body))


def last_word(tls):
    """The reason code that the server closed with; None: it closed without a word."""
    told = packets_until_close(tls)
    if not told:
        return None
    kind, body = told[-1]
    if kind == DISCONNECT:
        return body[0] if body else 0
    return body[1] if kind == CONNACK and body[1] else None


def in_parallel(work, items, threads=4):
    """What `work` gave for each; an exception is the caller's."""
    results, failed, chunks = [], [], [items[i::threads] for i in range(threads)]

    def some(chunk):
        try:
            for item in chunk:
                results.append(work(item))
        except BaseException as error:
            failed.append(error)

    workers = [threading.Thread(target=some, args=(c,)) for c in chunks]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failed:
        raise failed[0]
    return results


# ---- the server's side

@contextlib.contextmanager
def under_attack(folder, settings=None):
    """An installation with a device for the attackers, whom its gateway knows, and two for the healthy."""
    server = Fleetward(folder, settings=settings).start()
    try:
        server.enrol("evil", "well-1", "well-2", group="hostile")

        def is_known():
            with tls_from(server, "evil") as tls:
                tls.sendall(connect_packet("evil") + b"\xe0\x00")
                return packets_until_close(tls)

        wait_for("the device to be known", is_known)
        yield server
        assert server.stop() == 0
    finally:
        if server.process.poll() is None:
            server.kill()


def moved(before, after):
    return {k: n - before.get(k, 0) for k, n in after.items() if n != before.get(k, 0)}


@contextlib.contextmanager
def counted(server, expected):
    """What is done inside moves exactly these refusals of the gateway: {reason: how many}. What the client has not seen yet is
    waited for; more than that is an error, too."""
    before = server.refusals()
    yield
    wait_for(f"{expected} to be counted; it is {moved(before, server.refusals())}",
             lambda: sum(moved(before, server.refusals()).values()) >= sum(expected.values()))
    told = moved(before, server.refusals())
    assert told == expected, f"{told} and not {expected}"


def http_refusals(server):
    found = {}
    for key, value in server.metrics().items():
        match = re.fullmatch(r'fleetward_http_refused_total\{(.*)\}', key)
        if match and value:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', match[1]))
            found[labels["server"], labels["reason"]] = int(value)
    return found


class Process:
    """What the server's process takes, by the kernel's word."""

    def __init__(self, server):
        self.pid = server.process.pid

    def _status(self, name):
        found = re.search(rf"^{name}:\s+(\d+) kB", pathlib.Path(f"/proc/{self.pid}/status").read_text(), re.M)
        return int(found[1]) * 1024

    def resident(self):
        return self._status("VmRSS")

    def peak(self):
        return self._status("VmHWM")

    def forget_peak(self):
        pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self):
        return sum(1 for _ in pathlib.Path(f"/proc/{self.pid}/fd").iterdir())


# A sanitizer's own books are many times what they are about, and grow with what was freed: there memory is shown, not judged.
SANITIZED = re.search("^FLEETWARD_SANITIZE:.*=.", (BUILD / "CMakeCache.txt").read_text(), re.M) is not None


class Cost:
    """Memory while something goes on: never over what the connections that are allowed may take. Descriptors go back to what they
    were."""

    slack = 32 * MIB  # what does not depend on connections: log, store, caches
    slack_again = 16 * MIB  # what a heap keeps in pieces

    def __init__(self, server, what):
        self.process, self.what = Process(server), what
        self.process.forget_peak()
        self.before, self.descriptors = self.process.resident(), self.process.descriptors()
        self.held = 0

    def look(self):
        """How many connections stand now; the most of them is told."""
        now = self.process.descriptors() - self.descriptors
        self.held = max(self.held, now)
        return now

    def is_bounded(self, connections, bytes_each):
        self.peak, limit = self.process.peak(), self.before + connections * bytes_each + self.slack
        self.show(self.peak, limit)
        assert SANITIZED or self.peak <= limit, f"{self.what}: {self.peak / MIB:.1f} MiB resident, over {limit / MIB:.1f}"

    def is_no_more_than(self, first):
        """Than the same took before: what was held then was given back. More connections at once may take their share more."""
        more_at_once = max(0, self.held - first.held) * (first.peak - first.before) / first.held
        assert SANITIZED or self.peak <= first.peak + more_at_once + self.slack_again, "what they held was given back"

    def show(self, peak, limit):
        print(f"{self.what}: resident {self.before / MIB:.1f} MiB before, {peak / MIB:.1f} at its peak (limit {limit / MIB:.1f}), "
              f"{self.process.resident() / MIB:.1f} now; {self.held} connections at once at the most")

    def connections_gone(self, seconds=60):
        """A few descriptors come and go with scrapes and pages."""
        wait_for(f"{self.what}: connections to be gone", lambda: self.process.descriptors() <= self.descriptors + 4, seconds)


# ---- the healthy

class Healthy:
    """Devices that report all the time, each waiting for its PUBACK: none may be cut off or left unanswered."""

    pause = 0.05

    def __init__(self, server, *things):
        self.clients = [MqttClient(server, thing, version="5") for thing in things]
        self.answered = {thing: 0 for thing in things}
        self.failed, self.stop, self.threads = [], threading.Event(), []

    def __enter__(self):
        for client in self.clients:
            wait_for(f"{client.thing} to be let in", lambda c=client: c.connect().code == 0)
            self.threads.append(threading.Thread(target=self._go_on, args=(client,), daemon=True))
        for thread in self.threads:
            thread.start()
        self.go_on_being_answered(1)
        return self

    def __exit__(self, kind, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)
        for client in self.clients:
            client.close()
        if kind is None:
            assert not self.failed, self.failed

    def _go_on(self, client):
        topic, number = f"$aws/things/{client.thing}/defender/metrics/json", 0
        try:
            while not self.stop.wait(self.pause):
                number += 1
                client.publish(topic, report(number), number % 65_535 + 1)
                body = client.expect(PUBACK)
                assert len(body) == 2 or body[2] == 0, f"{client.thing}: {body!r}"
                self.answered[client.thing] += 1
        except (OSError, AssertionError) as error:
            self.failed.append(f"{client.thing}: {error!r}")

    def go_on_being_answered(self, count=5, seconds=60):
        """Each of them, so many more times from now."""
        wanted = {thing: n + count for thing, n in self.answered.items()}
        wait_for("healthy devices to be answered", lambda: self.failed or all(self.answered[t] >= n for t, n in wanted.items()),
                 seconds)
        assert not self.failed, self.failed
