"""Very many connections: 5,000 that say nothing (TCP alone; TLS and no CONNECT), peers that are gone without a word, a reader that
does not read, and blocked devices that come back as fast as they can. Memory stays within what the connections that are allowed may
take, and a second time takes no more than the first; healthy devices are answered all the while."""
import contextlib
import ctypes
import os
import pathlib
import resource
import socket
import subprocess

import pytest

from bus_file import report_id, reports
from harness import publish, report, run, wait_for
from hostile import (MIB, Cost, Healthy, address, client_context, connect_from, connect_packet, counted, in_parallel, last_word,
                     publish_packet, tls_from, under_attack)
from mqtt_client import packet, text

MANY = 5_000
TCP_BYTES_MAX = 4 << 10    # a connection that has said nothing: ours alone, no TLS yet
TLS_BYTES_MAX = 64 << 10   # one after its handshake


@pytest.fixture(scope="module", autouse=True)
def descriptors():
    """The processes that are started inherit it."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MANY + 2_000
    assert before[1] == resource.RLIM_INFINITY or before[1] >= wanted, f"a hard limit of {wanted} descriptors is needed"
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    # Room for all of them at once: what the limits would refuse is shown in hostile_tls_test.
    settings = {"gateway": {"address": "0.0.0.0", "handshakes_max": 2 * MANY, "connections_burst": 10 * MANY,
                            "address_connections_burst": 2 * MANY, "address_handshakes_max": MANY, "address_failures_burst": 4 * MANY,
                            "device_messages_per_second": 100_000, "device_messages_burst": 100_000,
                            "device_bytes_per_second": "256MiB", "device_bytes_burst": "256MiB"}}
    with under_attack(tmp_path_factory.mktemp("attacked"), settings) as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def healthy(attacked):
    with Healthy(attacked, "well-1", "well-2") as devices:
        yield devices


def test_silent_tcp_connections(attacked, healthy):
    costs = []
    for turn in ("first", "second"):
        cost = Cost(attacked, f"{MANY} silent TCP connections, the {turn} time")
        with counted(attacked, {"handshake": MANY}):
            sockets = [connect_from(address(i % 50), attacked.mqtt_port) for i in range(MANY)]
            wait_for("all of them to be held", lambda: cost.look() >= MANY)
            healthy.go_on_being_answered()
            cost.connections_gone()  # ten seconds are all that a handshake gets
        for s in sockets:
            s.close()
        cost.is_bounded(MANY, TCP_BYTES_MAX)
        costs.append(cost)
        healthy.go_on_being_answered()
    costs[1].is_no_more_than(costs[0])


def test_silent_tls_connections(attacked, healthy):
    """Each is closed ten seconds after its handshake, so how many stand at once depends on how fast handshakes are; all are counted."""
    context, costs = client_context(attacked, "evil"), []
    for turn in ("first", "second"):
        cost = Cost(attacked, f"{MANY} TLS connections without a CONNECT, the {turn} time")
        with counted(attacked, {"no-connect": MANY}):
            sockets = in_parallel(lambda i: (tls_from(attacked, "evil", address(60 + i % 50), context), cost.look())[0],
                                  range(MANY))
            healthy.go_on_being_answered()
            cost.connections_gone()
        for s in sockets:
            s.close()
        assert cost.held >= MANY / 10
        cost.is_bounded(cost.held, TLS_BYTES_MAX)
        costs.append(cost)
    costs[1].is_no_more_than(costs[0])


def test_a_reader_that_does_not_read(attacked, healthy):
    """It subscribes to its replies, asks for as many as it can, and reads none: its queue has an end, and so has it."""
    reply = "$aws/things/evil/defender/metrics/json/rejected"
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.bind((address(120), 0))
    raw.settimeout(60)
    raw.connect(("127.0.0.1", attacked.mqtt_port))
    tls = client_context(attacked, "evil").wrap_socket(raw, server_hostname="localhost")
    tls.sendall(connect_packet("evil"))
    tls.sendall(packet(0x82, b"\x00\x01\x00" + text(reply) + b"\x00"))
    asked = publish_packet("$aws/things/evil/defender/metrics/json", b"no report", first=0x30) * 50
    cost = Cost(attacked, "a reader that does not read")
    with counted(attacked, {"not-reading": 1}):
        with contextlib.suppress(OSError):
            while True:
                tls.sendall(asked)
    tls.close()
    cost.is_bounded(1, 16 * MIB)
    cost.connections_gone()
    healthy.go_on_being_answered(1)


# ---- peers that are gone without a word

class FarNetwork:
    """A network of its own, linked to ours by a pair of interfaces; gone() and nothing of it answers any more."""

    here, there = "10.213.77.1", "10.213.77.2"

    def __init__(self):
        self.name = f"fw-far-{os.getpid()}"

    def __enter__(self):
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", "fw-near", "type", "veth", "peer", "name", "fw-far", "netns", self.name)
        run("ip", "addr", "add", f"{self.here}/30", "dev", "fw-near")
        run("ip", "link", "set", "fw-near", "up")
        self.ip("addr", "add", f"{self.there}/30", "dev", "fw-far")
        self.ip("link", "set", "fw-far", "up")
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "link", "del", "fw-near"], check=False, capture_output=True)
        run("ip", "netns", "del", self.name)

    def ip(self, *words):
        run("ip", "-n", self.name, *words)

    def connect(self, port):
        """A socket belongs to the network in which it was made."""
        libc, new_network = ctypes.CDLL(None, use_errno=True), 0x40000000
        with open("/proc/thread-self/ns/net") as ours, open(f"/run/netns/{self.name}") as theirs:
            assert libc.setns(theirs.fileno(), new_network) == 0
            try:
                made = socket.socket()
            finally:
                assert libc.setns(ours.fileno(), new_network) == 0
        made.settimeout(20)
        made.connect((self.here, port))
        return made

    def gone(self):
        self.ip("addr", "del", f"{self.there}/30", "dev", "fw-far")


def kept_alive(server, peer):
    """Whether the kernel asks after that peer now and then (the timer of /proc/net/tcp is the one of keep-alive)."""
    wanted = ("".join(f"{int(part):02X}" for part in reversed(FarNetwork.there.split("."))), peer)
    for line in pathlib.Path(f"/proc/{server.process.pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        host, port = fields[2].split(":")
        if (host, int(port, 16)) == wanted:
            return fields[5].startswith("02:")
    return None


def test_peers_that_are_gone_without_a_word(attacked, healthy):
    """No FIN, no RST, no answer any more. Handshake, CONNECT and keep-alive each have their time; who has turned the keep-alive off,
    which 3.1.1 allows, is asked after by the kernel."""
    context = client_context(attacked, "evil")
    attacked.enrol("gone-1", "gone-2", group="hostile")
    cost = Cost(attacked, "peers that are gone")
    with FarNetwork() as far:
        def tls(thing=None):
            raw = far.connect(attacked.mqtt_port)
            return (client_context(attacked, thing) if thing else context).wrap_socket(raw, server_hostname="localhost")

        def session(thing, version, keep_alive):
            def connected():
                s = tls(thing)
                s.sendall(connect_packet(thing, version, keep_alive))
                told = s.recv(4096)
                return s if told[0] == 0x20 and told[3] == 0 else None

            return wait_for(f"{thing} to be known", connected)

        with counted(attacked, {"handshake": 1, "no-connect": 1, "keep-alive": 1}):
            held = [session("gone-1", 5, 2), session("gone-2", 4, 0), far.connect(attacked.mqtt_port), tls()]
            for_ever = held[1].getsockname()[1]
            wait_for("the kernel to ask after it now and then", lambda: kept_alive(attacked, for_ever))
            far.gone()
            healthy.go_on_being_answered()
        assert kept_alive(attacked, for_ever) is not None, "it stands still: it had nothing to say"
        assert cost.look() >= 1
        # It is let go of when its device connects again, too.
        with counted(attacked, {}):
            before = attacked.metrics()["fleetward_gateway_takeovers_total"]
            publish(attacked, "gone-2", report(1))
            wait_for("the old one to be taken over", lambda: attacked.metrics()["fleetward_gateway_takeovers_total"] == before + 1)
        cost.connections_gone()
        for s in held:
            s.close()


# ---- blocked devices

def test_a_reconnect_storm_of_blocked_devices(attacked, healthy):
    """Quarantined, and back at once, as fast as they can: each gets its refusal, each refusal is counted, nobody else suffers, and
    what is written of it on the bus does not grow with it."""
    blocked = [f"blocked-{i}" for i in range(10)]
    attacked.enrol(*blocked, group="storm")
    for thing in blocked:
        wait_for(f"{thing} to be known", lambda t=thing: publish(attacked, t, report(1), check=False).returncode == 0)
        attacked.cli("things", "quarantine", thing, "--level", "isolate", "--reason", "test")
    contexts = {thing: client_context(attacked, thing) for thing in blocked}

    def knock(thing):
        with tls_from(attacked, thing, address(200 + blocked.index(thing)), contexts[thing]) as tls:
            tls.sendall(connect_packet(thing))
            return last_word(tls)

    for thing in blocked:
        wait_for(f"{thing} to be out", lambda t=thing: knock(t) == 0x8A)
    each = 100
    cost = Cost(attacked, "a reconnect storm of blocked devices")
    said = 'fleetward_gateway_events_dropped_total'
    before = attacked.metrics().get(said, 0)
    with counted(attacked, {"held": each * len(blocked)}):
        codes = in_parallel(knock, [thing for thing in blocked for _ in range(each)])
        healthy.go_on_being_answered()
    assert codes.count(0x8A) == each * len(blocked), "each of them is told that it is banned"
    assert attacked.metrics().get(said, 0) == before
    cost.is_bounded(len(blocked), TLS_BYTES_MAX)
    cost.connections_gone()
    for thing in blocked:
        attacked.cli("things", "release", thing, "--reason", "test", check=False)


def test_the_sums_agree(attacked, healthy):
    """Whatever was done to it: each report that was sent by the healthy was accepted, and stands on the bus, once."""
    healthy.go_on_being_answered()
    answered = dict(healthy.answered)
    accepted = attacked.metrics()['fleetward_gateway_reports_total{result="accepted"}']
    assert accepted >= sum(answered.values())
    written = reports(attacked)
    assert len(written) >= accepted
    for thing, count in answered.items():
        ids = [report_id(r) for r in written if r.key == thing]
        assert ids == list(range(1, len(ids) + 1)) and len(ids) >= count, thing
