"""The doctor where log and store are Kafka and PostgreSQL: an installation that is well, and what can be wrong with one; and a role
that is started beside a database or a cluster of another installation."""
import json

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

import kafka as kafka_cluster
from distributed import Distributed
from faked_clock import FakedClock
from harness import FLEETWARD, free_ports, run, wait_for


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, kafka, postgres, alertmanager):
    server = Distributed(tmp_path_factory.mktemp("doctor"), kafka, postgres, alertmanager=alertmanager)
    try:
        server.start()
        server.enrol("cam-1")
        yield server
    finally:
        server.kill()


def doctor(config, env=None, **changed):
    """Findings by area and check, with settings of a section changed."""
    words = [f"--{section}.{key}={value}" for section, values in changed.items() for key, value in values.items()]
    result = run(FLEETWARD, "doctor", "--config", config, "-o", "json", *words, check=False, env=env)
    answer = json.loads(result.stdout)
    assert all(f.get("advice") for f in answer["findings"] if f["result"] != "ok"), answer
    assert answer["healthy"] == (result.returncode == 0)
    return {f"{f['area']}/{f['check']}": f for f in answer["findings"]}


def failed(found):
    return sorted(name for name, f in found.items() if f["result"] == "fail")


def test_an_installation_that_is_well(fleet):
    for config in [fleet.config, *(process.config for process in fleet.roles.values())]:
        found = doctor(config)
        assert failed(found) == [], config
        assert found["kafka/brokers"]["found"] == "1 answer"
        assert found["kafka/topics"]["found"] == "13, 4 partitions of devices"
        assert found["kafka/copies"]["result"] == "warn" and "bus.replication" in found["kafka/copies"]["advice"]
        assert found["postgres/clock"]["result"] == "ok" and found["postgres/schema"]["result"] == "ok"
        assert not any("bus.db" in f["found"] or "store.db" in f["found"] for f in found.values())


def test_it_says_which_process_runs(fleet):
    gateway = fleet.roles["gateway-1"]
    found = doctor(gateway.config)
    assert "answers at" in found["server/process"]["found"] and found["server/readiness"]["result"] == "ok"
    assert "fsync" in str(found) and found["certificates/server.crt"]["result"] == "ok"
    assert "does not run here" in doctor(fleet.config)["server/process"]["found"]


def test_who_needs_no_store_is_not_told_of_one(fleet, tmp_path):
    settings = json.loads(fleet.roles["detector-1"].config.read_text())
    del settings["store"]
    config = tmp_path / "detector.yaml"
    config.write_text(json.dumps(settings))
    found = doctor(config)
    assert failed(found) == []
    assert "not named in these settings" in found["postgres/store"]["found"]


def test_what_does_not_answer(fleet):
    away, = free_ports(1)
    found = doctor(fleet.config, bus={"bootstrap": f"127.0.0.1:{away}"}, store={"port": away})
    assert failed(found) == ["kafka/brokers", "postgres/connection"]
    assert str(away) in found["kafka/brokers"]["found"] and str(away) in found["postgres/connection"]["found"]


def test_a_password_that_is_not_taken(fleet, tmp_path):
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text("not this one")
    found = doctor(fleet.config, store={"password_file": password})
    assert failed(found) == ["postgres/connection"]
    assert "check its user and password" in found["postgres/connection"]["found"]
    assert "not this one" not in str(found)
    password.chmod(0o644)
    assert f"rights/{password}" in failed(doctor(fleet.config, store={"password_file": password}))


def test_a_clock_that_is_not_that_of_postgres(fleet, tmp_path):
    found = doctor(fleet.config, env=FakedClock(tmp_path, 300).env())
    assert failed(found) == ["clock/clock", "postgres/clock"]  # it is not Alertmanager's either
    assert "ms from PostgreSQL's" in found["postgres/clock"]["found"]
    assert "chrony" in found["postgres/clock"]["advice"]


def set_topic(kafka, topic, name, value):
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(30)


def test_topics_that_are_otherwise_than_they_have_to_be(fleet, kafka):
    assert "kafka/fleetward.devices" in failed(doctor(fleet.config, fleetward={"partitions": 8}))
    set_topic(kafka, "fleetward.access", "cleanup.policy", "delete")
    try:
        found = wait_for("the finding", lambda: (f := doctor(fleet.config)) and failed(f) == ["kafka/fleetward.access"] and f)
        assert "cleanup.policy is delete and should be compact" in found["kafka/fleetward.access"]["found"]
        assert "kafka-configs.sh" in found["kafka/fleetward.access"]["advice"]
    finally:
        set_topic(kafka, "fleetward.access", "cleanup.policy", "compact")
    wait_for("nothing to find", lambda: failed(doctor(fleet.config)) == [])


def test_a_schema_of_another_version(fleet, postgres):
    newest = postgres.psql("SELECT max(number) FROM migrations", fleet.database)
    postgres.psql(f"UPDATE migrations SET number = 1000 WHERE number = {newest}", fleet.database)
    try:
        found = doctor(fleet.config)
    finally:
        postgres.psql(f"UPDATE migrations SET number = {newest} WHERE number = 1000", fleet.database)
    assert failed(found) == ["postgres/schema"] and "use the newer program" in found["postgres/schema"]["advice"]


def test_a_login_without_its_grants(fleet, postgres):
    postgres.psql("REVOKE ALL ON migrations FROM fleetward_notifier", fleet.database)
    try:
        found = doctor(fleet.roles["notifier-1"].config)
    finally:
        postgres.psql("GRANT SELECT ON migrations TO fleetward_notifier", fleet.database)
    assert failed(found) == ["postgres/schema"] and "roles.sql" in found["postgres/schema"]["advice"]


def test_a_role_beside_another_database_does_not_speak_of_files(fleet, postgres):
    """The topics hold what a store has decided; this one has decided nothing."""
    fresh = postgres.new_database()
    result = run(FLEETWARD, "run", "historian", "--config", fleet.config, f"--store.database={fresh}", check=False)
    assert result.returncode == 1
    assert "the store is empty, but the log is not" in result.stderr and f"database {fresh}" in result.stderr
    assert "store.db" not in result.stderr and "DATA_DIR" not in result.stderr


def test_a_role_beside_another_cluster_does_not_speak_of_files(fleet):
    """The store has published; these topics were made a moment ago."""
    with kafka_cluster.Kafka() as other:
        run(FLEETWARD, "init", "--config", fleet.config, f"--bus.bootstrap={other.bootstrap}")
        result = run(FLEETWARD, "run", "historian", "--config", fleet.config, f"--bus.bootstrap={other.bootstrap}", check=False)
    assert result.returncode == 1
    assert "the log is empty, but the store has published to it" in result.stderr and other.bootstrap in result.stderr
    assert "bus.db" not in result.stderr and "DATA_DIR" not in result.stderr
