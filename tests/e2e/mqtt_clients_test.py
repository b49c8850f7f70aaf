"""Other people's MQTT clients, mosquitto's and Eclipse Paho, against what the gateway serves beyond the plain report."""
import json
import ssl
import threading

import pytest
from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv5, MQTTv311
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from harness import publish, report, run, wait_for

VERSIONS = {"311": MQTTv311, "5": MQTTv5}


def topic_of(thing):
    return f"$aws/things/{thing}/defender/metrics/json"


class Device:
    """A Paho client of one thing; what happened to it is in its lists."""

    def __init__(self, server, thing, version="5", client_id=None):
        folder = server.devices / thing
        self.client = Client(CallbackAPIVersion.VERSION2, client_id=thing if client_id is None else client_id,
                             protocol=VERSIONS[version])
        context = ssl.create_default_context(cafile=str(server.ca))
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self.client.tls_set_context(context)
        self.connected, self.published, self.disconnected, self.messages, self.subscribed = [], [], [], [], []
        self.client.on_connect = lambda c, u, flags, reason, properties: self.connected.append((flags, reason, properties))
        self.client.on_publish = lambda c, u, mid, reason, properties: self.published.append((mid, reason))
        self.client.on_disconnect = lambda c, u, flags, reason, properties: self.disconnected.append(reason)
        self.client.on_subscribe = lambda c, u, mid, reasons, properties: self.subscribed.append(reasons)
        self.client.on_message = lambda c, u, message: self.messages.append(message)
        self.port = server.mqtt_port

    def __enter__(self):
        self.client.connect("localhost", self.port, keepalive=60)
        self.client.loop_start()
        wait_for("CONNACK", lambda: self.connected)
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture(scope="module")
def fleet(fleetward):
    fleetward.enrol("paho-1", "paho-2", group="mqtt")
    for thing in ("paho-1", "paho-2"):
        wait_for("first report", lambda: publish(fleetward, thing, report(1), check=False).returncode == 0)
    return fleetward


def accepted(server):
    return server.metrics().get('fleetward_gateway_reports_total{result="accepted"}', 0)


@pytest.mark.parametrize("version", ["311", "5"])
def test_mosquitto_reports_with_qos_2(fleet, version):
    before = accepted(fleet)
    run("mosquitto_pub", "-V", version, *fleet.device("paho-1"), "-i", "paho-1", "-q", "2", "-t", topic_of("paho-1"), "-m", report(2),
        timeout=20)
    assert accepted(fleet) == before + 1


@pytest.mark.parametrize("version", ["311", "5"])
def test_paho_reports_with_qos_2_and_hears_of_each_once(fleet, version):
    with Device(fleet, "paho-1", version) as device:
        device.client.subscribe(topic_of("paho-1") + "/accepted", 2)
        wait_for("SUBACK", lambda: device.subscribed)
        assert device.subscribed[0][0].value == 1, "QoS 1 is granted"
        for report_id in range(100, 130):
            device.client.publish(topic_of("paho-1"), report(report_id), qos=2)
        wait_for("PUBCOMPs", lambda: len(device.published) == 30)
        wait_for("replies", lambda: len(device.messages) == 30)
    assert sorted(json.loads(m.payload)["reportId"] for m in device.messages) == list(range(100, 130))


def test_the_connack_says_what_there_is(fleet):
    with Device(fleet, "paho-1") as device:
        _, reason, properties = device.connected[0]
        assert reason.value == 0
        assert not hasattr(properties, "MaximumQoS"), "left out: QoS 2 is taken"
        assert properties.ReceiveMaximum == 64 and properties.TopicAliasMaximum == 8
        assert properties.RetainAvailable == 0 and properties.WildcardSubscriptionAvailable == 0
        assert properties.SubscriptionIdentifierAvailable == 0 and properties.SharedSubscriptionAvailable == 0


def test_who_gives_no_name_is_given_its_own(fleet):
    with Device(fleet, "paho-1", client_id="") as device:
        assert device.connected[0][2].AssignedClientIdentifier == "paho-1"
        device.client.publish(topic_of("paho-1"), report(3), qos=1)
        wait_for("PUBACK", lambda: device.published)
        assert device.published[0][1].value == 0


def test_a_topic_alias_stands_for_the_topic(fleet):
    before = accepted(fleet)
    with Device(fleet, "paho-1") as device:
        alias = Properties(PacketTypes.PUBLISH)
        alias.TopicAlias = 8
        device.client.publish(topic_of("paho-1"), report(4), qos=1, properties=alias)
        device.client.publish("", report(5), qos=1, properties=alias)
        wait_for("PUBACKs", lambda: len(device.published) == 2)
    assert accepted(fleet) == before + 2


@pytest.mark.parametrize("act,reason", [
    (lambda c: c.subscribe("$aws/#"), 0xA2),
    (lambda c: c.subscribe(f"$share/g/{topic_of('paho-1')}/accepted"), 0x9E),
    (lambda c: c.publish(topic_of("paho-1"), report(6), qos=1, retain=True), 0x9A),
])
def test_what_there_is_not_ends_with_its_code(fleet, act, reason):
    with Device(fleet, "paho-1") as device:
        act(device.client)
        wait_for("DISCONNECT", lambda: device.disconnected)
        assert device.disconnected[0].value == reason


def test_a_refused_publish_says_so_and_the_session_lives(fleet):
    with Device(fleet, "paho-1") as device:
        for qos in (1, 2):
            device.client.publish(topic_of("paho-2"), report(7), qos=qos)
        wait_for("PUBACK and PUBREC", lambda: len(device.published) == 2)
        assert device.published[0][1].value == 0x87
        # Paho releases a refused PUBREC all the same, and tells of the PUBCOMP: there is nothing to release.
        assert device.published[1][1].value == 0x92
        device.client.publish(topic_of("paho-1"), report(8), qos=2)
        wait_for("PUBCOMP", lambda: len(device.published) == 3)
        assert device.published[2][1].value == 0 and not device.disconnected


def test_a_will_is_taken_and_disturbs_nobody(fleet):
    device = Device(fleet, "paho-1")
    device.client.will_set(topic_of("paho-2"), report(9), qos=2)
    with device:
        assert device.connected[0][1].value == 0
    assert publish(fleet, "paho-2", report(10)).returncode == 0


def test_the_newer_session_of_a_device_takes_over(fleet):
    with Device(fleet, "paho-1") as older:
        over = threading.Event()
        older.client.on_disconnect = lambda c, u, flags, reason, properties: (older.disconnected.append(reason), over.set(), c.loop_stop())
        with Device(fleet, "paho-1") as newer:
            wait_for("0x8E", lambda: older.disconnected)
            assert older.disconnected[0].value == 0x8E
            newer.client.publish(topic_of("paho-1"), report(11), qos=1)
            wait_for("PUBACK", lambda: newer.published)
