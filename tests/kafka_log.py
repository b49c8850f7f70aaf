"""What stands on a Kafka bus, read by Confluent's client: an outsider's look, not through the product's own code."""
import uuid

from confluent_kafka import Consumer, TopicPartition

SECONDS_MAX = 30


def read(bootstrap, topic, isolation="read_committed"):
    """(partition, offset, key, value, headers) of all that is there now, partition after partition, each in its order."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"look-{uuid.uuid4()}", "enable.auto.commit": False,
                         "isolation.level": isolation, "enable.partition.eof": True, "auto.offset.reset": "earliest"})
    try:
        metadata = consumer.list_topics(topic, timeout=SECONDS_MAX).topics[topic]
        assert metadata.error is None, metadata.error
        consumer.assign([TopicPartition(topic, p, 0) for p in metadata.partitions])
        found, ended = [], set()
        while len(ended) < len(metadata.partitions):
            message = consumer.poll(SECONDS_MAX)
            assert message is not None, f"{topic} was not read to its end within {SECONDS_MAX} s"
            if message.error() is None:
                headers = {name: value.decode() for name, value in message.headers() or []}
                found.append((message.partition(), message.offset(), (message.key() or b"").decode(), message.value(), headers))
            else:
                assert message.error().name() == "_PARTITION_EOF", message.error()
                ended.add(message.partition())
        return sorted(found, key=lambda record: record[:2])
    finally:
        consumer.close()
