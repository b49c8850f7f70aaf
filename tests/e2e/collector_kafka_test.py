"""Reports from an operator's own Kafka: read by a consumer group, each counts once however often it is read, offsets are committed
when the log has them. The broker is a real one, and the collector is killed under load."""
import json
import threading

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bus_file import records, report_id, reports
from harness import report, wait_for

PROFILE = {
    "behaviors": [{"name": "known-listeners", "metric": "aws:listening-tcp-ports",
                   "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 8883]}}}],
    "targets": ["group/plant"],
}
THINGS = 8


@pytest.fixture
def topic(kafka, request):
    name = f"telemetry-{abs(hash(request.node.name))}"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})  # its futures end with it
    for made in admin.create_topics([NewTopic(name, 3, 1)]).values():
        made.result(30)
    return name


@pytest.fixture
def collecting(installation, kafka, topic):
    source = {"name": "plant", "bootstrap": kafka.bootstrap, "security": "plain", "topics": [topic], "vouched": True,
              "group": f"fleetward-{topic}"}
    server = installation(settings={"collector": {"kafka": [source]}}).start()
    server.enrol(*(f"k{i}" for i in range(THINGS)), group="plant")
    server.request("PUT", "/v1/profiles/plant", PROFILE)
    return server


class Load:
    """Messages until told to stop; `taken` has what the brokers took. Every tenth is no report."""

    def __init__(self, kafka, topic):
        self.kafka, self.topic, self.taken = kafka, topic, []
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        producer, number = Producer({"bootstrap.servers": self.kafka.bootstrap, "acks": "all", "linger.ms": 1}), 0
        while not self.done.is_set():
            number += 1
            value = b"no JSON" if number % 10 == 0 else report(number).encode()
            producer.produce(self.topic, value, key=f"k{number % THINGS}",
                             on_delivery=lambda error, _, n=number: error or self.taken.append(n))
            producer.poll(0.002)
        producer.flush(30)

    def finish(self):
        self.done.set()
        self.thread.join(timeout=60)


def counted(server, result="taken"):
    return server.metrics().get(f'fleetward_collector_messages_total{{source="kafka/plant",result="{result}"}}', 0)


def detected(server, outcome):
    return server.metrics()[f'fleetward_detector_records{{outcome="{outcome}"}}']


def test_reports_from_a_topic_reach_an_alarm_and_the_rest_is_a_dead_letter(collecting, kafka, topic):
    server = collecting
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(topic, report(1), key="k1")
    producer.produce(topic, "{", key="k2", headers={"content-type": "application/json"})
    producer.flush(30)
    wait_for("the report", lambda: counted(server) == 1)
    (letter,) = wait_for("the letter", lambda: server.get("/v1/dead-letters?source=kafka%2Fplant")["deadLetters"])
    assert letter["reason"] == "bad-payload" and letter["topic"] == topic and letter["key"] == "k2" and letter["offset"] == 0
    wait_for("the rules", lambda: any(r.kind == "mark" for r in records(server, "fleetward.devices")))

    def alarm():
        producer.produce(topic, report(2, ports=(22, 48101)), key="k1")
        producer.flush(30)
        return server.get("/v1/violations?thing=k1")["violations"]

    (found,) = wait_for("the alarm", alarm, every=0.5)
    assert found["behavior"]["name"] == "known-listeners"
    origin = reports(server)[0].headers
    assert origin["fw-origin"] == f"kafka/plant/{topic}" and origin["fw-origin-offset"] == "0"


def test_a_collector_killed_under_load_loses_and_doubles_nothing(collecting, kafka, topic):
    server = collecting
    load = Load(kafka, topic)
    try:
        wait_for("load", lambda: counted(server) > 200, 60)
        server.kill()
        server.spawn(faults="collector.after_append")  # dies with what it took durable and not committed
        assert server.wait_dead(60) == -9
        server.start()
        before = counted(server)
        wait_for("more load", lambda: counted(server) > before + 200, 60)
    finally:
        load.finish()
    sent = set(load.taken)
    good = {n for n in sent if n % 10}
    wait_for("every report on the bus", lambda: good <= {report_id(r) for r in reports(server)}, 60)
    taken = reports(server)
    distinct = {report_id(r) for r in taken}
    assert distinct == good
    wait_for("all of it at the detector", lambda: detected(server, "report_applied") + detected(server, "report_duplicate") == len(taken))
    assert detected(server, "report_applied") == len(distinct), "each counts once"
    assert len(taken) > len(distinct), "what was durable and not committed was read again"
    wait_for("each letter, once", lambda: len(_letters(server)) == len(sent - good))
    wait_for("offsets committed to the end", lambda: _lag(kafka, topic) == 0)


def _letters(server):
    return {json.loads(r.value)["id"] for r in records(server, "fleetward.dead-letters")}


def _lag(kafka, topic):
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": f"fleetward-{topic}"})
    try:
        committed = consumer.committed([TopicPartition(topic, p) for p in range(3)], timeout=10)
        return sum(consumer.get_watermark_offsets(c, timeout=10)[1] - max(c.offset, 0) for c in committed)
    finally:
        consumer.close()
