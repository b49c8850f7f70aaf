"""Hostile HTTP on each port that speaks it: oversized, malformed, crawling, silent, and readers that do not read. Each is refused with
its status where one can be given, and counted under its reason; health is answered all the while."""
import contextlib
import socket
import ssl
import threading
import urllib.request

import pytest

from harness import wait_for
from hostile import MIB, Cost, address, connect_from, http_refusals, moved

PORTS = ["api", "pki", "operations"]
GOOD = {"api": "/v1/about", "pki": "/crl/issuing.crl", "operations": "/livez"}
BODY_MAX = {"api": 1 << 20, "pki": 8 << 10, "operations": 1 << 10}
HEADER_MAX = 16 << 10


@pytest.fixture(scope="module")
def attacked(fleetward):
    return fleetward


def number_of(server, port):
    return {"api": server.api_port, "pki": server.pki_port, "operations": server.ops_port}[port]


def connect(server, port, source=None):
    raw = connect_from(source or address(700), number_of(server, port), 60)
    if port != "api":
        return raw
    return ssl.create_default_context(cafile=str(server.ca)).wrap_socket(raw, server_hostname="localhost")


def answer(s):
    """All that comes until the server closes; b"" when it closes without a word."""
    told = b""
    with contextlib.suppress(OSError):
        while some := s.recv(65536):
            told += some
    return told


def send(s, data):
    with contextlib.suppress(OSError):
        s.sendall(data)


@contextlib.contextmanager
def http_counted(server, expected):
    before = http_refusals(server)
    yield
    wait_for(f"{expected} to be counted", lambda: sum(moved(before, http_refusals(server)).values()) >= sum(expected.values()))
    told = moved(before, http_refusals(server))
    assert told == expected, f"{told} and not {expected}"


def is_healthy(server):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.ops_port}/livez", timeout=20) as response:
        return response.status == 200


def chunks(size):
    return b"".join(b"400\r\n" + b"x" * 1024 + b"\r\n" for _ in range(size // 1024 + 2))


OVERSIZED = {
    "a header line": (lambda n: b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 2 * HEADER_MAX + b"\r\n\r\n", b"431"),
    "many headers": (lambda n: b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * HEADER_MAX + b"\r\n", b"431"),
    "a target": (lambda n: b"GET /" + b"x" * 2 * HEADER_MAX + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"431"),
    "a method": (lambda n: b"G" * 2 * HEADER_MAX + b" / HTTP/1.1\r\nHost: a\r\n\r\n", b"431"),
    "a length that is claimed": (lambda n: b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\n", b"413"),
    "a body": (lambda n: b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (n + 1) + b"x" * (n + 1), b"413"),
    "chunks": (lambda n: b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(n), b"413"),
}


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("kind", OVERSIZED)
def test_oversized(attacked, port, kind):
    make, status = OVERSIZED[kind]
    with http_counted(attacked, {(port, "too_large"): 1}), connect(attacked, port) as s:
        send(s, make(BODY_MAX[port]))
        assert answer(s)[:12] in (b"HTTP/1.1 " + status, b""), "its status, unless its own bytes were still on their way"


MALFORMED = {
    "no HTTP": b"\x00\x01\x02\x03\r\n\r\n",
    "MQTT": b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03abc\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "length and chunks": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length below zero": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "a chunk size that is none": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a header name with a blank": b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
}


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed(attacked, port, kind):
    with http_counted(attacked, {(port, "malformed"): 1}), connect(attacked, port) as s:
        send(s, MALFORMED[kind])
        assert answer(s).startswith(b"HTTP/1.1 400")


def test_crawling_senders(attacked):
    """A header that crawls, a header that stops, a body that stops: each gets the time of a request and no more."""
    each, stop, sockets, expected = 15, threading.Event(), [], {}
    cost = Cost(attacked, "crawling HTTP")
    for port in PORTS:
        kinds = [b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"GET / HT", b"POST /ocsp HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx"]
        for i in range(each):
            for data in kinds:
                s = connect(attacked, port, address(710 + i))
                s.sendall(data)
                sockets.append(s)
        expected[port, "slow"] = each * len(kinds)

    def crawl():
        while not stop.wait(0.5):
            for s in sockets[::3]:
                send(s, b"x")

    with http_counted(attacked, expected):
        thread = threading.Thread(target=crawl, daemon=True)
        thread.start()
        for _ in range(20):
            assert is_healthy(attacked)
        wait_for("their time to be over", lambda: cost.look() <= 8, 60)
        stop.set()
        thread.join()
    for s in sockets:
        s.close()
    cost.is_bounded(len(sockets), 128 << 10)
    cost.connections_gone()


@pytest.mark.parametrize("port", PORTS)
def test_silent_connections_give_way(attacked, port):
    """More of them than there is room for: who asks is answered at once, since those that ask nothing make room."""
    cost, before, count = Cost(attacked, f"silent connections to {port}"), http_refusals(attacked), 1_500
    sockets = [connect_from(address(i % 40), number_of(attacked, port)) for i in range(count)]
    for _ in range(5):
        with connect(attacked, port) as s:
            s.sendall(f"GET {GOOD[port]} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            assert answer(s).split(b" ")[1] in (b"200", b"401"), "an answer of its own"
        assert is_healthy(attacked)
    cost.look()
    room = 256 if port == "operations" else 1_000
    wait_for("those over the limit to be sent away",
             lambda: moved(before, http_refusals(attacked)).get((port, "displaced"), 0) >= count - room)
    for s in sockets:
        s.close()
    cost.is_bounded(room, 64 << 10)
    cost.connections_gone()


@pytest.mark.parametrize("port", PORTS)
def test_readers_that_do_not_read(attacked, port):
    """As many requests as a connection takes, and no answer read."""
    count = 40
    cost = Cost(attacked, f"readers of {port} that do not read")
    path = "/metrics" if port == "operations" else GOOD[port]
    request = f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    sockets = []
    for i in range(count):
        s = connect(attacked, port, address(760 + i))
        s.settimeout(1)  # it takes no more: that is what was wanted
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sockets.append(s)
    for s in sockets:
        with contextlib.suppress(OSError):
            for _ in range(20):
                s.sendall(request * 20)
    for _ in range(10):
        assert is_healthy(attacked)
    cost.look()
    cost.is_bounded(count, 2 * MIB)
    for s in sockets:
        s.close()
    cost.connections_gone()
