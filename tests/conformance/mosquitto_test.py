"""mosquitto's own clients in MQTT 3.1.1 and 5: what the other clients do in mqtt_test.py, by their command lines."""
import json
import time

import pytest

from harness import report, run
from live_client import LiveClient

VERSIONS = pytest.mark.parametrize("version", ["311", "5"])


@pytest.fixture(scope="module")
def server(fleetward):
    fleetward.enrol("mosquitto-v311", "mosquitto-v5", group="mosquitto")
    return fleetward


def topic_of(version):
    return f"$aws/things/mosquitto-v{version}/defender/metrics/json"


def ask(server, version, payload, reply, *more, qos=1):
    """mosquitto_rr: one session that subscribes, publishes and waits for the reply."""
    thing = f"mosquitto-v{version}"
    topic = topic_of(version)
    return json.loads(run("mosquitto_rr", "-V", version, *server.device(thing), "-i", thing, "-q", qos, "-W", "15", "-t", topic, "-e",
                          f"{topic}/{reply}", "-m", payload, *more, timeout=30).stdout)


def subscriber(server, version, *more):
    return LiveClient(server, f"mosquitto-v{version}", version, f"{topic_of(version)}/accepted", "mosquitto_sub", *more)


@VERSIONS
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("tls", ["tlsv1.2", "tlsv1.3"])
def test_a_report_is_accepted(server, version, qos, tls):
    report_id = int(time.time() * 1000)
    answer = ask(server, version, report(report_id), "accepted", "--tls-version", tls, qos=qos)
    assert answer["reportId"] == report_id and answer["status"] == "ACCEPTED"


@VERSIONS
def test_a_bad_report_is_rejected(server, version):
    answer = ask(server, version, '{"header":{"report_id":7,"version":"1.0"}}', "rejected")
    assert answer["status"] == "REJECTED" and answer["reportId"] == 7


def test_a_retained_will_of_the_version_that_cannot_be_told_does_no_harm(server):
    report_id = int(time.time() * 1000)
    answer = ask(server, "311", report(report_id), "accepted", "--will-topic", "fleet/gone", "--will-payload", "gone", "--will-retain")
    assert answer["reportId"] == report_id


def test_a_retained_will_is_refused_as_the_server_said_it_would(server):
    with pytest.raises(AssertionError, match="Retain not supported"):
        ask(server, "5", report(1), "accepted", "--will-topic", "fleet/gone", "--will-payload", "gone", "--will-retain")


@VERSIONS
def test_a_will_and_alpn_do_no_harm(server, version):
    report_id = int(time.time() * 1000)
    answer = ask(server, version, report(report_id), "accepted", "--will-topic", "fleet/gone", "--will-payload", "gone", "--will-qos",
                 "1", "--tls-alpn", "x-amzn-mqtt-ca")
    assert answer["reportId"] == report_id


def test_pings_keep_a_subscriber(server):
    # Two pings are more than one and a half keep-alives, of which mosquitto's clients take no less than 5 s.
    with subscriber(server, "311", "-k", "5") as three, subscriber(server, "5", "-k", "5") as five:
        for device in (three, five):
            device.wait_for("pings", "received PINGRESP", 2)
            assert device.told.count("sending CONNECT") == 1


def test_its_reconnect_brings_a_subscriber_back(server):
    with subscriber(server, "311") as three, subscriber(server, "5") as five:
        for device in (three, five):
            device.wait_for("its subscription", "received SUBACK")
        assert server.stop() == 0
        five.wait_for("the reason", "Received DISCONNECT (139)")
        five.process.wait(timeout=20)  # a DISCONNECT ends mosquitto_sub
        server.start()
        three.wait_for("the second subscription", "received SUBACK", 2)
    with subscriber(server, "5") as five:
        five.wait_for("its subscription", "received SUBACK")
