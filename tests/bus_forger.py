"""Writes a record into the bus file of an installation that does not run, as somebody would who got at its disk."""
import sqlite3
import time

FIRST, SECOND, MASK = 0x6a09e667f3bcc909, 0xbb67ae8584caa73b, (1 << 64) - 1


def _mix(a, b):
    product = (a & MASK) * (b & MASK)
    return (product ^ product >> 64) & MASK


def _add(total, data):
    total = _mix(total ^ len(data), SECOND)
    whole = len(data) // 16 * 16
    for at in range(0, whole, 16):
        low, high = (int.from_bytes(data[i:i + 8], "little") for i in (at, at + 8))
        total = _mix(low ^ FIRST, high ^ total)
    low, high = (int.from_bytes(data[i:i + 8], "little") for i in (whole, whole + 8))
    return _mix(low ^ FIRST, high ^ total)


def _sum(topic, partition, offset, append_ms, key, value, headers):
    """The file's own sum over a record: against accidents, not against people."""
    total = _mix(_add(FIRST, topic) ^ partition, SECOND)
    total = _mix(total ^ offset, append_ms ^ SECOND)
    total = _add(total, key)
    total = _add(_mix(total, SECOND) if value is None else _add(total, value), headers)
    return total - (1 << 64) if total >> 63 else total


def _encoded(headers):
    out = b""
    for text in (t for pair in headers.items() for t in pair):
        out += len(text.encode()).to_bytes(4, "little") + text.encode()
    return out


def append(server, topic, key, value, headers, partition=0):
    """The offset that the record got. `value`: bytes, or None for a tombstone."""
    db = sqlite3.connect(server.data / "bus" / "bus.db")
    try:
        number, = db.execute("SELECT id FROM topics WHERE name=?", (topic,)).fetchone()
        place = (number, partition)
        offset, = db.execute("SELECT next_offset FROM ends WHERE topic=? AND partition=?", place).fetchone()
        now, key, headers = int(time.time() * 1000), key.encode(), _encoded(headers)
        db.execute(f"INSERT INTO log_{number}_{partition} VALUES(?, ?, ?, ?, ?, ?)",
                   (offset, now, key, value, headers, _sum(topic.encode(), partition, offset, now, key, value, headers)))
        db.execute("UPDATE ends SET next_offset=? WHERE topic=? AND partition=?", (offset + 1, *place))
        db.commit()
        return offset
    finally:
        db.close()
