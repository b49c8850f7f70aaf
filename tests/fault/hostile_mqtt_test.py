"""Malformed and oversized MQTT over real TLS: each kind is refused with its reason code where MQTT 5 has one, closed in any case,
and counted once under its reason; healthy devices are answered all the while, and memory does not grow."""
import ssl
import struct

import pytest

from hostile import (MIB, Cost, Healthy, connect_packet, counted, last_word, packets_until_close, publish_packet, tls_from,
                     under_attack)
from mqtt_client import CONNACK, packet, text

REPORTS = "$aws/things/evil/defender/metrics/json"
PACKET_MAX = (128 << 10) + 1024
CONNECT_MAX = 16 << 10


def subscribe(filters, packet_id=1, first=0x82, properties=b"\x00"):
    return packet(first, struct.pack(">H", packet_id) + properties + b"".join(text(f) + bytes([o]) for f, o in filters))


def with_length(properties):
    return packet(0, properties)[1:]


# Before a session: what is sent instead of a good CONNECT, and the code of the CONNACK (None: none can be given).
BEFORE = {
    "not a CONNECT": (b"\xc0\x00", None, "protocol"),
    "packet type 0": (b"\x00\x00", None, "protocol"),
    "HTTP": (b"GET /index.html HTTP/1.1\r\nHost: device.example.com\r\nUser-Agent: a scanner of ports\r\n\r\n", None, "protocol"),
    "remaining length of five bytes": (b"\x10\x80\x80\x80\x80\x01", None, "protocol"),
    "flags in the fixed header": (b"\x11" + connect_packet("evil")[1:], 0x81, "protocol"),
    "no body": (b"\x10\x00", None, "protocol"),
    "protocol level 6": (connect_packet("evil", version=6), 1, "protocol"),  # told in the oldest way that every client knows
    "protocol level 3": (packet(0x10, text("MQIsdp") + b"\x03\x02\x00\x3c" + text("evil")), 1, "protocol"),
    "reserved connect flag": (connect_packet("evil", flags=0x03), 0x81, "protocol"),
    "will flags without a will": (connect_packet("evil", flags=0x0A), 0x81, "protocol"),
    "will of QoS 3": (connect_packet("evil", flags=0x1E, rest=b"\x00" + text("t") + text("m")), 0x81, "protocol"),
    "will to a wildcard": (connect_packet("evil", flags=0x06, rest=b"\x00" + text("a/#") + text("m")), 0x90, "protocol"),
    "client id that is no UTF-8": (packet(0x10, text("MQTT") + b"\x05\x02\x00\x3c\x00" + b"\x00\x02\xc3\x28"), 0x81, "protocol"),
    "client id with NUL": (connect_packet("e\0vil"), 0x81, "protocol"),
    "client id longer than its packet": (packet(0x10, text("MQTT") + b"\x05\x02\x00\x3c\x00" + b"\xff\xffevil"), 0x81, "protocol"),
    "trailing bytes": (connect_packet("evil", rest=b"more"), 0x81, "protocol"),
    "property twice": (connect_packet("evil", properties=b"\x06\x21\x00\x05\x21\x00\x05"), 0x82, "protocol"),
    "receive maximum 0": (connect_packet("evil", properties=b"\x03\x21\x00\x00"), 0x82, "protocol"),
    "maximum packet size 0": (connect_packet("evil", properties=b"\x05\x27\x00\x00\x00\x00"), 0x82, "protocol"),
    "property of a PUBLISH": (connect_packet("evil", properties=b"\x03\x23\x00\x01"), 0x81, "protocol"),
    "properties longer than the packet": (connect_packet("evil", properties=b"\xff\xff\x03"), 0x81, "protocol"),
    "authentication data without a method": (connect_packet("evil", properties=b"\x04\x16\x00\x01x"), 0x82, "protocol"),
    "a CONNECT that is too large": (connect_packet("e" * CONNECT_MAX), None, "packet-size"),
    "a CONNECT that claims 256 MB": (b"\x10\xff\xff\xff\x7f", None, "packet-size"),
    "too many user properties": (connect_packet("evil", properties=with_length(b"\x26\x00\x01k\x00\x01v" * 300)), 0x97, "quota"),
}

# In a session: what is sent, and the code of the DISCONNECT.
AFTER = {
    "second CONNECT": (connect_packet("evil"), 0x82, "protocol"),
    "packet type 0": (b"\x00\x00", 0x81, "protocol"),
    "remaining length of five bytes": (b"\x30\x80\x80\x80\x80\x01", 0x81, "protocol"),
    "a packet of servers": (b"\xd0\x00", 0x82, "protocol"),
    "a ping with a body": (b"\xc0\x01x", 0x81, "protocol"),
    "flags of a SUBSCRIBE": (subscribe([("a", 0)], first=0x80), 0x81, "protocol"),
    "a SUBSCRIBE without filters": (subscribe([]), 0x82, "protocol"),
    "packet id 0": (subscribe([("a", 0)], packet_id=0), 0x82, "protocol"),
    "QoS 3 in a SUBSCRIBE": (subscribe([("a", 3)]), 0x82, "protocol"),
    "reserved options of a SUBSCRIBE": (subscribe([("a", 0x40)]), 0x81, "protocol"),
    "wildcards": (subscribe([("a/#", 0)]), 0xA2, "protocol"),
    "a shared subscription": (subscribe([("$share/g/a", 0)]), 0x9E, "protocol"),
    "a subscription identifier": (subscribe([("a", 0)], properties=b"\x02\x0b\x01"), 0xA1, "protocol"),
    "an AUTH that was not agreed": (b"\xf0\x00", 0x82, "protocol"),
    "a PUBLISH of QoS 3": (publish_packet(REPORTS, b"{}", first=0x36), 0x81, "protocol"),
    "DUP with QoS 0": (publish_packet(REPORTS, b"{}", first=0x38), 0x81, "protocol"),
    "a PUBLISH with packet id 0": (publish_packet(REPORTS, b"{}", packet_id=0), 0x82, "protocol"),
    "a retained message": (publish_packet(REPORTS, b"{}", first=0x33), 0x9A, "protocol"),
    "wildcards in a topic name": (publish_packet("$aws/things/+/defender/metrics/json", b"{}"), 0x90, "protocol"),
    "no topic and no alias": (publish_packet("", b"{}"), 0x82, "protocol"),
    "a topic that is no UTF-8": (publish_packet(b"\x00\x02\xed\xa0", b"{}"), 0x81, "protocol"),
    "a topic longer than its packet": (packet(0x32, b"\xff\xff$aws"), 0x81, "protocol"),
    "a topic that is too long": (publish_packet("a" * 2000, b"{}"), 0x90, "protocol"),
    "alias 0": (publish_packet("", b"{}", properties=b"\x03\x23\x00\x00"), 0x94, "protocol"),
    "an alias over the maximum": (publish_packet(REPORTS, b"{}", properties=b"\x03\x23\xff\xff"), 0x94, "protocol"),
    "an alias that stands for nothing": (publish_packet("", b"{}", properties=b"\x03\x23\x00\x02"), 0x82, "protocol"),
    "a property of a CONNECT": (publish_packet(REPORTS, b"{}", properties=b"\x03\x21\x00\x05"), 0x81, "protocol"),
    "an unknown property": (publish_packet(REPORTS, b"{}", properties=b"\x02\x7f\x00"), 0x81, "protocol"),
    "a PUBLISH that is too large": (publish_packet(REPORTS, b" " * PACKET_MAX), 0x95, "packet-size"),
    "a PUBLISH that claims 256 MB": (b"\x32\xff\xff\xff\x7f", 0x95, "packet-size"),
    "too many user properties": (publish_packet(REPORTS, b"{}", properties=with_length(b"\x26\x00\x01k\x00\x01v" * 300)),
                                 0x97, "quota"),
    "too many filters": (subscribe([(f"a/{i}", 0) for i in range(200)]), 0x97, "quota"),
    "a PUBREL with wrong flags": (packet(0x60, b"\x00\x01"), 0x81, "protocol"),
    "a PUBACK with a code of nobody": (packet(0x40, b"\x00\x01\x55"), 0x82, "protocol"),
    "a DISCONNECT with a code of servers": (packet(0xE0, b"\x8b"), 0x82, "protocol"),
    "a session expiry that was not asked for": (packet(0xE0, b"\x00\x05\x11\x00\x00\x00\x05"), 0x82, "protocol"),
}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    # Every case is a connection of its own from one device and one address: their rates are not what is tested here.
    settings = {"gateway": {"device_connections_burst": 10_000, "address_failures_burst": 10_000,
                            "device_messages_burst": 10_000, "device_messages_per_second": 10_000}}
    with under_attack(tmp_path_factory.mktemp("attacked"), settings) as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def healthy(attacked):
    """They go on reporting through all of this module's cases."""
    with Healthy(attacked, "well-1", "well-2") as devices:
        yield devices


def in_session(server, version=5):
    tls = tls_from(server, "evil")
    tls.sendall(connect_packet("evil", version=version))
    first = tls.recv(4096)
    assert first[0] == CONNACK and first[3] == 0, first
    return tls


def send(tls, data):
    """It may be cut off while it still sends."""
    try:
        tls.sendall(data)
    except (ssl.SSLError, ConnectionError, BrokenPipeError):
        pass


@pytest.mark.parametrize("case", BEFORE)
def test_instead_of_a_connect(attacked, healthy, case):
    data, code, reason = BEFORE[case]
    with counted(attacked, {reason: 1}), tls_from(attacked, "evil") as tls:
        send(tls, data)
        assert last_word(tls) == code
    healthy.go_on_being_answered(1)


@pytest.mark.parametrize("case", AFTER)
def test_in_a_session(attacked, healthy, case):
    data, code, reason = AFTER[case]
    with counted(attacked, {reason: 1}), in_session(attacked) as tls:
        send(tls, data)
        assert last_word(tls) == code
    healthy.go_on_being_answered(1)


# 3.1.1 has no code for it, and what 5 forbids may be allowed: just those that both forbid.
IN_311 = ["second CONNECT", "packet type 0", "remaining length of five bytes", "a packet of servers", "a ping with a body",
          "a PUBLISH that claims 256 MB", "a topic longer than its packet", "a PUBREL with wrong flags"]


@pytest.mark.parametrize("case", IN_311)
def test_in_a_session_of_3_1_1(attacked, case):
    data, _, reason = AFTER[case]
    with counted(attacked, {reason: 1}), in_session(attacked, version=4) as tls:
        send(tls, data)
        assert packets_until_close(tls) == [], "a bare close"


def test_a_thousand_malformed_connections_take_no_memory(attacked, healthy):
    """The same in bulk: what a refused connection held is given back, so twice as many take no more."""
    kinds = [(data, reason, True) for data, _, reason in BEFORE.values()]
    kinds += [(data, reason, False) for data, _, reason in AFTER.values()]

    def round_of(count):
        expected = {}
        for i in range(count):
            _, reason, _ = kinds[i % len(kinds)]
            expected[reason] = expected.get(reason, 0) + 1
        with counted(attacked, expected):
            for i in range(count):
                data, _, before = kinds[i % len(kinds)]
                with (tls_from(attacked, "evil") if before else in_session(attacked)) as tls:
                    send(tls, data)
                    packets_until_close(tls)

    cost = Cost(attacked, "malformed connections, the first 300")
    round_of(300)
    cost.is_bounded(1, PACKET_MAX)
    again = Cost(attacked, "malformed connections, 700 more")
    round_of(700)
    healthy.go_on_being_answered()
    again.slack = 4 * MIB
    again.is_bounded(1, PACKET_MAX)
    again.connections_gone()
