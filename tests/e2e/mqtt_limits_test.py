"""What one device, or one address, may take of the gateway, by real clients; each limit is a setting and ends in a counter."""
import socket
import ssl

import pytest

from harness import Fleetward, publish, report, run, wait_for


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    settings = {"gateway": {"device_messages_per_second": 1, "device_messages_burst": 5, "device_connections_per_second": 1,
                            "device_connections_burst": 3, "address_failures_per_second": 1, "address_failures_burst": 3}}
    server = Fleetward(tmp_path_factory.mktemp("limited"), settings=settings).start()
    server.enrol("busy-1", "busy-2", "calm-1", group="limits")
    wait_for("a first report", lambda: publish(server, "calm-1", report(1), check=False).returncode == 0)
    yield server
    assert server.stop() == 0


def refused(server, reason):
    return server.metrics().get(f'fleetward_gateway_refused_total{{reason="{reason}"}}', 0)


def flood(server, version, thing):
    lines = "\n".join(report(i) for i in range(12)) + "\n"
    return run("mosquitto_pub", "-V", version, "-d", *server.device(thing), "-i", thing, "-q", "1", "-t",
               f"$aws/things/{thing}/defender/metrics/json", "-l", stdin=lines, check=False, timeout=60)


def test_too_many_messages_end_the_session(limited):
    """MQTT 5: the client is told, and can slow down."""
    before = refused(limited, "message-rate")
    done = flood(limited, "5", "busy-2")
    assert refused(limited, "message-rate") > before, done.stdout + done.stderr
    assert "PUBACK" in done.stdout, "those within the burst were taken"


def test_too_many_messages_wait_where_nobody_can_be_told(limited):
    """MQTT 3.1.1: after a bare close it would come back with the same, for ever; it is read as its rate allows, and all is taken."""
    name, before = 'fleetward_gateway_throttled_total{limit="device"}', refused(limited, "message-rate")
    throttled = limited.metrics().get(name, 0)
    done = flood(limited, "311", "busy-1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("received PUBACK") == 12
    assert limited.metrics()[name] > throttled and refused(limited, "message-rate") == before


def test_a_device_that_connects_too_often_is_told_so(limited):
    def connects():
        return publish(limited, "calm-1", report(2), version="5", check=False)

    wait_for("the refusal", lambda: "connection rate exceeded" in (lambda r: r.stdout + r.stderr)(connects()).lower())
    assert refused(limited, "device-rate") >= 1
    wait_for("a connection when its rate allows", lambda: connects().returncode == 0, every=1)


def test_failed_handshakes_close_their_address_for_a_while(limited):
    context = ssl.create_default_context(cafile=str(limited.ca))  # no certificate of its own

    def knock():
        try:
            with socket.create_connection(("127.0.0.1", limited.mqtt_port), timeout=10) as raw:
                with context.wrap_socket(raw, server_hostname="localhost") as tls:
                    tls.recv(1)
        except (ssl.SSLError, OSError):
            return

    def is_closed():
        knock()
        return refused(limited, "address-failures") >= 1

    wait_for("the address to be closed", is_closed)
    wait_for("it to be let in again", lambda: publish(limited, "calm-1", report(3), check=False).returncode == 0, every=1)
