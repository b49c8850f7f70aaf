"""AWS's Device Defender agent for Python, as published: its own collector, its own MQTT client, its own choice of port (443 with
ALPN `x-amzn-mqtt-ca`, which it lets nobody change). So the gateway listens there, on a loopback address of its own."""
import ast
import json
import os
import queue
import subprocess
import sys

import cbor
import paho.mqtt.client as mqtt
import pytest
from AWSIoTDeviceDefenderAgentSDK.collector import Collector

import harness
from harness import wait_for

READ = {"json": json.loads, "cbor": cbor.loads}


@pytest.fixture(scope="module")
def server(tmp_path_factory, alertmanager):
    address = f"127.{100 + os.getpid() // 65536 % 100}.{os.getpid() // 256 % 256}.{os.getpid() % 254 + 1}"
    server = harness.Fleetward(tmp_path_factory.mktemp("agent"), alertmanager, settings={
        "fleetward": {"host_names": ["localhost", "127.0.0.1", address]},
        "gateway": {"address": address, "port": 443, "public_host": address}}).start()
    server.mqtt_host, server.mqtt_port = address, 443
    server.enrol("agent", group="agents")
    server.enrol("agent-cbor", "collector", group="others")
    yield server
    assert server.stop() in (0, None), server.log_path.read_text()[-4000:]


class Agent:
    """The agent's own program, with what it prints."""

    def __init__(self, server, thing, *more, form="json"):
        folder = server.devices / thing
        self.topic = f"$aws/things/{thing}/defender/metrics/{form}"
        self.read = READ[form]
        self.path = server.folder / f"{thing}.log"
        with open(self.path, "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-m", "AWSIoTDeviceDefenderAgentSDK.agent", "-e", server.mqtt_host, "-r", server.ca, "-c",
                 folder / "cert.pem", "-k", folder / "key.pem", "-id", thing, "-i", "1", "-f", form, *more],
                stdout=log, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    @property
    def told(self):
        return self.path.read_text()

    def replies(self, kind):
        """What it says it received; it prints each payload as Python writes bytes, before it reads it."""
        start = f"Received message from topic '{self.topic}/{kind}': "
        return [self.read(ast.literal_eval(line[len(start):])) for line in self.told.splitlines() if line.startswith(start)]

    def wait_for(self, what, condition):
        def is_so():
            assert self.process.poll() is None, f"the agent ended: {self.told}"
            assert condition(), self.told
            return True

        wait_for(what, is_so, 40)


@pytest.fixture(scope="module")
def agent(server):
    """One that reports a custom metric too, for the tests of JSON, in their order."""
    with Agent(server, "agent", "-cm") as agent:
        yield agent


def test_its_reports_are_accepted(agent):
    agent.wait_for("two accepted reports", lambda: len(agent.replies("accepted")) >= 2)
    assert not agent.replies("rejected")
    for answer in agent.replies("accepted"):
        assert answer["status"] == "ACCEPTED" and answer["thingName"] == "agent"
    ids = [a["reportId"] for a in agent.replies("accepted")]
    assert ids == sorted(set(ids)) and all(isinstance(i, int) for i in ids)


def test_its_custom_metric(server, agent):
    assert "cpu_usage" in json.dumps(agent.replies("accepted")[0]["statusDetails"]), "not defined yet"
    server.aws("create-custom-metric", "--metric-name", "cpu_usage", "--metric-type", "number", "--client-request-token", "t")
    agent.wait_for("a report without a hint", lambda: [a for a in agent.replies("accepted") if "statusDetails" not in a])


def test_what_its_collector_saw_is_what_is_judged(server, agent):
    """Our own gateway's port is one that really listens on this machine."""
    server.request("PUT", "/v1/profiles/agents", {
        "behaviors": [{"name": "not-a-gateway", "metric": "aws:listening-tcp-ports", "suppressAlerts": True,
                       "criteria": {"comparisonOperator": "not-in-port-set", "value": {"ports": [443]}}}],
        "targets": ["group/agents"]})
    active = wait_for("its alarm", lambda: server.aws("list-active-violations", "--thing-name", "agent")["activeViolations"])
    assert active[0]["behavior"]["name"] == "not-a-gateway" and 443 in active[0]["lastViolationValue"]["ports"]


def test_it_comes_back_by_itself(server, agent):
    server.cli("things", "quarantine", "agent", "--reason", "conformance")
    agent.wait_for("the interruption", lambda: "Connection interrupted" in agent.told)
    server.cli("things", "release", "agent", "--reason", "conformance")
    agent.wait_for("its return", lambda: "Connection resumed. return_code: 0" in agent.told)
    agent.wait_for("its subscriptions", lambda: "Resubscribe results: " in agent.told)
    before = len(agent.replies("accepted"))
    agent.wait_for("reports after it", lambda: len(agent.replies("accepted")) > before)


def ask(server, form, payload, reply):
    """Paho for Python as another device, with the bytes of its report; its reply, read."""
    topic = f"$aws/things/collector/defender/metrics/{form}"
    folder = server.devices / "collector"
    replies = queue.Queue()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="collector", protocol=mqtt.MQTTv5)
    client.tls_set(server.ca, folder / "cert.pem", folder / "key.pem")
    client.on_connect = lambda *_: client.subscribe(f"{topic}/{reply}", 1)
    client.on_subscribe = lambda *_: client.publish(topic, payload, 1)
    client.on_message = lambda client, data, message: replies.put(message.payload)
    client.connect(server.mqtt_host, server.mqtt_port)
    client.loop_start()
    try:
        return READ[form](replies.get(timeout=20))
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.parametrize("short", [False, True])
def test_its_collector_by_another_client(server, short):
    """Its short names crash its own agent at the second sample; the first one, with short and long names mixed, does come out."""
    sample = Collector(short).collect_metrics()
    answer = ask(server, "json", sample.to_json_string().encode(), "accepted")
    assert answer["reportId"] == json.loads(sample.to_json_string())["hed" if short else "header"]["rid" if short else "report_id"]


def test_malformed_cbor_is_rejected_in_cbor(server):
    answer = ask(server, "cbor", bytes(Collector(False).collect_metrics().to_cbor())[:-3], "rejected")
    assert answer["status"] == "REJECTED" and answer["statusDetails"]["ErrorCode"] == "InvalidPayload"


@pytest.mark.parametrize("short", [False, True])
def test_its_collector_in_cbor_by_another_client(server, short):
    sample = bytes(Collector(short).collect_metrics().to_cbor())
    answer = ask(server, "cbor", sample, "accepted")
    assert answer["reportId"] == cbor.loads(sample)["hed" if short else "header"]["rid" if short else "report_id"]


def test_its_reports_in_cbor(server):
    """The replies are CBOR too; the agent prints them before it fails to read them as UTF-8, a fault of its own."""
    with Agent(server, "agent-cbor", form="cbor") as agent:
        agent.wait_for("two accepted reports", lambda: len(agent.replies("accepted")) >= 2)
        assert not agent.replies("rejected")
        for answer in agent.replies("accepted"):
            assert answer["status"] == "ACCEPTED" and answer["thingName"] == "agent-cbor" and isinstance(answer["reportId"], int)
