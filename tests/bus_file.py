"""What stands on an installation's bus, read from its SQLite file or from Kafka: an outsider's look, not through the product's
own code."""
import json
import shutil
import sqlite3
from typing import NamedTuple

import kafka_log


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    key: str
    value: bytes | None  # None deletes the key; the detector's checkpoints are binary
    headers: dict

    @property
    def kind(self):
        return self.headers.get("fw-kind")

    @property
    def data(self):
        """What a CloudEvents record is about."""
        return json.loads(self.value)["data"]


def headers_of(blob):
    """Length-prefixed pairs, little endian."""
    out, at = [], 0
    while at < len(blob):
        n = int.from_bytes(blob[at:at + 4], "little")
        out.append(blob[at + 4:at + 4 + n].decode())
        at += 4 + n
    return dict(zip(out[::2], out[1::2]))


def records(server, topic=None):
    """All of the installation's bus, or of one topic: partition after partition, each in its order."""
    if server.kafka:
        return [Record(topic, *found) for found in kafka_log.read(server.kafka.bootstrap, topic)]
    db = sqlite3.connect(f"file:{server.data / 'bus' / 'bus.db'}?mode=ro", uri=True)
    try:
        out = []
        for number, name, partitions in db.execute("SELECT id, name, partitions FROM topics").fetchall():
            for p in range(partitions if topic in (None, name) else 0):
                rows = db.execute(f"SELECT offset, key, value, headers FROM log_{number}_{p} ORDER BY offset")
                out += [Record(name, p, offset, key.decode(), value, headers_of(headers))
                        for offset, key, value, headers in rows]
        return out
    finally:
        db.close()


def copy_of(server, folder):
    """The path of a copy of the bus's file, for a replay; with its write-ahead log beside it, where there is one."""
    copy = folder / "copied.db"
    shutil.copy(server.data / "bus" / "bus.db", copy)
    wal = server.data / "bus" / "bus.db-wal"
    if wal.exists():
        shutil.copy(wal, folder / "copied.db-wal")
    return copy


def report_id(record):
    """Of a report: agents write it with long or short names."""
    body = json.loads(record.value)
    header = body.get("header") or body["hed"]
    return header.get("report_id", header.get("rid"))


def reports(server):
    return [r for r in records(server, "fleetward.devices") if r.kind == "report"]


def cloud_counts(server, thing):
    """What gateways counted of the thing, over all their deltas: metric -> sum."""
    counts = {}
    for record in records(server, "fleetward.devices"):
        if record.key != thing or record.kind != "cloud-metrics":
            continue
        for metric, delta in json.loads(record.value)["metrics"].items():
            counts[metric] = counts.get(metric, 0) + delta["sum"]
    return counts
