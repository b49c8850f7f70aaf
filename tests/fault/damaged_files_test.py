"""Damaged files: the log cut short, a page of it overwritten with noise, a record changed, its write-ahead log cut or changed; the
store likewise. It is noticed, told in a sentence with what to do, and `fleetward salvage` keeps all that is whole: compared record by
record with what was there."""
import contextlib
import json
import random
import shutil
import sqlite3

import pytest

from bus_file import records, report_id, reports
from fleet_sim import Simulator, await_rules, outcomes
from harness import FLEETWARD, Fleetward, publish, report, run, wait_for

PAGE = 4096
SUM_BYTES = 8
DEVICES = 40
PROFILE = {"targets": ["group/whole"], "behaviors": [
    {"name": "listeners", "metric": "aws:listening-tcp-ports",
     "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 554, 8883]}}}]}


def salvage(server):
    return run(FLEETWARD, "salvage", "--config", server.config, check=False)


def refused_start(server):
    """What it says instead of starting."""
    result = run(FLEETWARD, "run", "all", "--config", server.config, check=False)
    assert result.returncode == 1, result.stderr
    return result.stderr


def failures(server):
    result = run(FLEETWARD, "doctor", "--config", server.config, "-o", "json", check=False)
    return [f for f in json.loads(result.stdout)["findings"] if f["result"] == "fail"]


def bus_file(server):
    return server.data / "bus" / "bus.db"


def wal_file(server):
    return server.data / "bus" / "bus.db-wal"


def copied(server, folder):
    """The bus beside it, as it is on the disk, for who reads it with SQLite."""
    shutil.copytree(server.data / "bus", folder / "bus")
    server.data, original = folder, server.data
    try:
        return {(r.topic, r.partition, r.offset): r for r in records(server)}
    finally:
        server.data = original


@pytest.fixture(scope="module")
def template(tmp_path_factory, alertmanager):
    """An installation that was at work and was killed: some of its log is in the file, some in the write-ahead log."""
    server = Fleetward(tmp_path_factory.mktemp("damaged"), alertmanager).start()
    server.cli("things", "enrol", "--count", str(DEVICES), "--prefix", "whole-", "--group", "whole", "--out", server.devices)
    server.request("PUT", "/v1/profiles/whole", PROFILE)
    await_rules(server)
    try:
        yield at_work_and_killed(server)
    finally:
        if server.process.poll() is None:
            server.process.kill()


def at_work_and_killed(server):
    simulator = Simulator(server, server.folder, attacked=["whole-001"], infected=[(20, 99999)], interval=0.1)
    wait_for("a log that does not fit into its write-ahead log", lambda: len(simulator.acknowledged()) >= 4000, 120)
    server.kill()
    simulator.stop()
    return server


@pytest.fixture
def killed(template, tmp_path):
    """A copy of it to be damaged, and its records as they were."""
    server = template
    kept = server.data
    shutil.copytree(kept, tmp_path / "data", symlinks=True)
    server.data = tmp_path / "data"
    config = json.loads(server.config.read_text())
    config["fleetward"]["data_dir"] = str(server.data)
    server.config.write_text(json.dumps(config))
    server.before = copied(server, tmp_path / "copy")
    yield server
    if server.process.poll() is None:
        server.process.kill()
        server.process.wait()
    server.data = kept


def checkpointed(server):
    """All of it in the file, as after an orderly stop, and packed: no bytes of a record lie about where it stood once."""
    with contextlib.closing(sqlite3.connect(bus_file(server))) as db:
        db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert not wal_file(server).exists() or wal_file(server).stat().st_size == 0


def overwrite(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


def leaf_pages(path, word=b"whole-002"):
    """Pages that hold records of that device, by number from 0."""
    data = path.read_bytes()
    return [n for n in range(1, len(data) // PAGE) if data[n * PAGE] == 0x0D and word in data[n * PAGE:(n + 1) * PAGE]]


# ---- ways to damage a log, each noticed before a start

def cut_in_the_middle(server):
    checkpointed(server)
    with open(bus_file(server), "r+b") as file:
        file.truncate(bus_file(server).stat().st_size // 2)


def noise_in_a_page(server):
    checkpointed(server)
    page = leaf_pages(bus_file(server))[5]
    overwrite(bus_file(server), page * PAGE, random.Random(7).randbytes(PAGE))


def noise_in_the_root_of_a_partition(server):
    """Then no record of the partition can be reached any more, although each is there."""
    checkpointed(server)
    with contextlib.closing(sqlite3.connect(bus_file(server))) as db:
        root, = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'log_1_0' ").fetchone()
    overwrite(bus_file(server), (root - 1) * PAGE, random.Random(8).randbytes(PAGE))


def noise_in_the_first_page(server):
    """Then the file is none of SQLite's any more."""
    checkpointed(server)
    overwrite(bus_file(server), 0, random.Random(9).randbytes(PAGE))


def noise_in_the_write_ahead_log(server):
    size = wal_file(server).stat().st_size
    assert size > 40 * (PAGE + 24)
    frames = wal_frames(server)
    overwrite(wal_file(server), 32 + (len(frames) // 2) * (PAGE + 24) + 100, random.Random(10).randbytes(64))


def write_ahead_log_cut(server):
    frames = wal_frames(server)
    with open(wal_file(server), "r+b") as file:
        file.truncate(32 + (len(frames) // 2) * (PAGE + 24) + 1000)


def wal_frames(server):
    """Those of this generation, by the salt of the header."""
    data = wal_file(server).read_bytes()
    frames = [data[at:at + 24] for at in range(32, len(data) - PAGE - 23, PAGE + 24)]
    mine = [f for f in frames if f[8:16] == data[16:24]]
    assert frames[:len(mine)] == mine
    return mine


DAMAGES = {
    "cut in the middle": cut_in_the_middle,
    "noise in a page": noise_in_a_page,
    "noise in the root of a partition": noise_in_the_root_of_a_partition,
    "noise in the first page": noise_in_the_first_page,
    "noise in the write-ahead log": noise_in_the_write_ahead_log,
    "write-ahead log cut": write_ahead_log_cut,
}


@pytest.mark.parametrize("way", DAMAGES)
def test_log(killed, way, tmp_path):
    server = killed
    DAMAGES[way](server)
    told = refused_start(server)
    assert "bus.db" in told and "The log is damaged" in told and "fleetward salvage" in told and "backup" in told, told
    found = [f for f in failures(server) if f["area"] == "storage"]
    assert found and "fleetward salvage" in found[0]["advice"], found
    before_salvage = {p.name: p.read_bytes() for p in (server.data / "bus").iterdir() if p.suffix != ".db-shm"}

    said = salvage(server)
    assert said.returncode == 0, said.stderr
    assert "The log is damaged" in said.stdout and "kept: " in said.stdout, said.stdout
    aside, = [p for p in server.data.iterdir() if p.name.startswith("bus.damaged-")]
    assert (aside / "bus.db").read_bytes() == before_salvage["bus.db"], "the damaged file is kept as it was"
    after = copied(server, tmp_path / "after")
    # Whatever is there is what was there, at its place; and what is whole is there.
    for where, record in after.items():
        assert where in server.before and server.before[where] == record, where
    missing = {w for w in server.before if w not in after and w[0] != "fleetward.detector-state"}
    intact = {w for w in on_intact_pages(server, aside) if w[0] != "fleetward.detector-state"}
    assert intact and not missing & intact, sorted(missing & intact)[:5]
    if way in ("noise in the root of a partition", "noise in the first page"):
        assert not missing, "each record was whole"
    elif way != "noise in the write-ahead log":  # where a later state of its page may have all of it
        assert missing, "the damage took nothing: it is none"
    counted = [line for line in said.stdout.splitlines() if line.startswith("lost: ")]
    assert bool(counted) == any(w[0] == "fleetward.devices" for w in missing), (said.stdout, sorted(missing)[:5])

    again = salvage(server)
    assert again.returncode == 0 and "The log is whole" in again.stdout, again.stdout
    goes_on(server, after)


def on_intact_pages(server, folder):
    """Records as they were whose bytes all stand in one of the damaged files: key, value, headers, sum, one after the other."""
    files = [path.read_bytes() for path in (folder / "bus.db", folder / "bus.db-wal") if path.exists()]
    out = set()
    for where, r in server.before.items():
        value = r.value.encode() if isinstance(r.value, str) else r.value
        if value is None or not 40 < len(value) < 900:
            continue
        words = b"".join(len(w).to_bytes(4, "little") + w.encode() for pair in r.headers.items() for w in pair)
        record = r.key.encode() + value + words
        if any(0 <= file.find(record) <= len(file) - len(record) - SUM_BYTES for file in files):
            out.add(where)
    return out


def goes_on(server, after):
    """Detection and all else work on it, no offset comes again, and nothing is done twice."""
    server.start()
    assert not [f for f in failures(server) if f["area"] == "storage"]
    wait_for("a report", lambda: publish(server, "whole-003", report(70_001), check=False).returncode == 0)
    publish(server, "whole-004", report(70_002, ports=(22, 48101)))
    wait_for("the alarm", lambda: server.get("/v1/violations?thing=whole-004")["violations"])
    actions = server.get("/v1/actions?thing=whole-001")["actions"]
    assert len([a for a in actions if a["level"] == "isolate"]) == 1, actions
    ends = {}
    for topic, partition, offset in server.before:
        ends[topic, partition] = max(ends.get((topic, partition), 0), offset + 1)
    new = [r for r in records(server, "fleetward.devices") if (r.topic, r.partition, r.offset) not in after]
    assert new and all(r.offset >= ends[r.topic, r.partition] for r in new), "an offset came again"
    assert server.stop() == 0


def test_changed_record(killed, tmp_path):
    """No page says so: the record's sum does, when it is read. It is left out, and the rest is served."""
    server = killed
    checkpointed(server)
    page = leaf_pages(bus_file(server))[3]
    data = bus_file(server).read_bytes()
    at = data.index(b'whole-002', page * PAGE)
    value = data.index(b'{', at)
    overwrite(bus_file(server), value + 20, b"#")
    found, = [f for f in failures(server) if f["area"] == "storage"]
    assert "1 records are not what was written" in found["found"] and "fleetward salvage" in found["advice"], found
    # The detector begins anew at the log's start: it meets the record.
    with contextlib.closing(sqlite3.connect(bus_file(server))) as db:
        db.execute("DELETE FROM committed WHERE consumer_group = 'detector'")
        topic, = db.execute("SELECT id FROM topics WHERE name = 'fleetward.detector-state'").fetchone()
        for partition in range(4):
            db.execute(f"DELETE FROM log_{topic}_{partition}")
        db.commit()
    server.start()
    total = len({(r.key, report_id(r)) for r in reports(server) if b"#" not in r.value})
    wait_for("the rest to be applied", lambda: sum(outcomes(server).values()) >= total - 1)
    assert server.metrics()["fleetward_bus_damaged_records_total"] >= 1
    assert server.log_path.read_text().count("record_damaged") == 1
    assert server.readiness()[0] == 200
    assert server.stop() == 0
    said = salvage(server)
    assert said.returncode == 0 and "lost: 1 records of fleetward.devices" in said.stdout, said.stdout
    assert not [f for f in failures(server) if f["area"] == "storage"]


def test_salvage_leaves_alone_what_is_whole_or_in_use(killed):
    server = killed
    before = {p: p.read_bytes() for p in (server.data / "bus").iterdir() if p.suffix != ".db-shm"}
    said = salvage(server)
    assert said.returncode == 0 and "The log is whole" in said.stdout
    assert bus_file(server).read_bytes() == before[bus_file(server)]
    assert {p.name for p in server.data.iterdir() if "damaged" in p.name} == set()
    server.start()
    said = salvage(server)
    assert said.returncode == 1 and "stop it first" in said.stderr, said.stderr
    assert server.stop() == 0


@pytest.mark.parametrize("way", ["cut in the middle", "noise in a page", "noise in the first page"])
def test_store(killed, way):
    server = killed
    store = server.data / "store" / "store.db"
    with contextlib.closing(sqlite3.connect(store)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        root, = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'things'").fetchone()
    if way == "cut in the middle":
        with open(store, "r+b") as file:
            file.truncate(store.stat().st_size // PAGE // 2 * PAGE)
    else:
        overwrite(store, 0 if way == "noise in the first page" else (root - 1) * PAGE, random.Random(11).randbytes(PAGE))
    damaged = store.read_bytes()
    told = refused_start(server)
    assert "store.db" in told and "The store is damaged" in told and "backup" in told, told
    found = [f for f in failures(server) if f["area"] == "storage" and f["check"] == "store"]
    assert found and "backup" in found[0]["advice"], found
    assert salvage(server).returncode == 0, "the log is whole"
    assert store.read_bytes() == damaged, "nobody has written to it"


def test_store_with_a_damaged_write_ahead_log(killed):
    """What was decided after the damage would be lost without a word; it is gone on without it only when a person says so."""
    server = killed
    server.start()
    for i in range(8):
        server.request("PUT", f"/v1/profiles/extra-{i}", {**PROFILE, "targets": []})
    server.kill()
    wal = server.data / "store" / "store.db-wal"
    data = wal.read_bytes()
    frames = [n for n, at in enumerate(range(32, len(data) - PAGE - 23, PAGE + 24)) if data[at + 8:at + 16] == data[16:24]]
    overwrite(wal, 32 + frames[-40] * (PAGE + 24) + 500, random.Random(12).randbytes(64))
    told = refused_start(server)
    assert "The store is damaged" in told and "write-ahead log is damaged" in told and "fleetward salvage" in told, told
    said = salvage(server)
    assert said.returncode == 0 and "is lost" in said.stdout and "store.damaged-" in said.stdout, said.stdout
    server.start()
    assert server.get("/v1/profiles/whole")
    assert server.stop() == 0
