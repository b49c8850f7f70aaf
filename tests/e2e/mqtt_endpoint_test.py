"""How devices reach the gateway: port 443's ALPN, and a load balancer that says who connects."""
import socket
import ssl
import struct

import pytest

from harness import Fleetward, publish, report, run, wait_for

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def proxy_header(source, port):
    addresses = socket.inet_aton(source) + socket.inet_aton("127.0.0.1") + struct.pack(">HH", port, 8883)
    return SIGNATURE + b"\x21\x11" + struct.pack(">H", len(addresses)) + addresses


def connack(server, thing, before=b"", alpn=None):
    """The code of the CONNACK; None when there was none."""
    folder = server.devices / thing
    context = ssl.create_default_context(cafile=str(server.ca))
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    if alpn:
        context.set_alpn_protocols(alpn)
    try:
        with socket.create_connection(("127.0.0.1", server.mqtt_port), timeout=10) as raw:
            raw.sendall(before)
            with context.wrap_socket(raw, server_hostname="localhost") as tls:
                name = thing.encode()
                body = b"\x00\x04MQTT\x04\x02\x00\x3c" + struct.pack(">H", len(name)) + name
                tls.sendall(bytes([0x10, len(body)]) + body)
                answer = tls.recv(64)
                return answer[3] if len(answer) > 3 else None
    except (ssl.SSLError, OSError):
        return None


@pytest.fixture(scope="module")
def balanced(tmp_path_factory):
    server = Fleetward(tmp_path_factory.mktemp("balanced"), settings={"gateway": {"proxy_from": ["127.0.0.0/8"]}}).start()
    server.enrol("behind-1", group="balanced")
    yield server
    assert server.stop() == 0


def test_mosquitto_with_alpn(fleetward):
    fleetward.enrol("alpn-1", group="alpn")
    wait_for("a report", lambda: publish(fleetward, "alpn-1", report(1), check=False).returncode == 0)
    args = ["-i", "alpn-1", "-q", "1", "-t", "$aws/things/alpn-1/defender/metrics/json", "-m", report(2)]
    assert run("mosquitto_pub", *fleetward.device("alpn-1"), "--tls-alpn", "x-amzn-mqtt-ca", *args, timeout=20).returncode == 0
    assert run("mosquitto_pub", *fleetward.device("alpn-1"), "--tls-alpn", "h2", *args, check=False, timeout=20).returncode != 0


def test_behind_a_balancer_the_header_comes_first(balanced):
    wait_for("a session", lambda: connack(balanced, "behind-1", proxy_header("203.0.113.7", 40000)) == 0)
    assert connack(balanced, "behind-1", proxy_header("203.0.113.7", 40000), ["mqtt"]) == 0
    assert connack(balanced, "behind-1", SIGNATURE + b"\x20\x00\x00\x00") == 0, "LOCAL: the balancer itself"
    counted = 'fleetward_gateway_refused_total{reason="proxy-header"}'
    before = balanced.metrics().get(counted, 0)  # the responder's own probe, which comes from here as well, may be among them
    for bad in (b"", b"PROXY TCP4 203.0.113.7 127.0.0.1 40000 8883\r\n", SIGNATURE + b"\x21\x12\x00\x00"):
        assert connack(balanced, "behind-1", bad) is None, bad
    wait_for("them to be counted", lambda: balanced.metrics().get(counted, 0) >= before + 3)


def test_from_elsewhere_a_header_is_no_header(fleetward):
    fleetward.enrol("direct-1", group="direct")
    wait_for("a session", lambda: connack(fleetward, "direct-1") == 0)
    assert connack(fleetward, "direct-1", proxy_header("203.0.113.7", 40000)) is None


def test_a_network_that_is_none_is_told_before_the_start(tmp_path):
    from harness import FLEETWARD
    checked = run(FLEETWARD, "run", "all", "--check-config", "--gateway.proxy_from=10.0.0.1/8", check=False)
    assert checked.returncode != 0 and "10.0.0.1/8" in checked.stderr
