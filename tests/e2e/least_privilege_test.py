"""Each role under its own principal at Kafka and its own login at PostgreSQL, with what deploy/ grants them and no more: the main
job is done, nothing that it needs is refused, and what a role has no business with is."""
import secrets

import confluent_kafka
import pytest
from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient

import kafka as kafka_cluster
from distributed import FILES_OF_ROLE, ROLES_WITH_STORE, Distributed
from harness import FLEETWARD, publish, report, run, wait_for
from mosquitto_broker import Mosquitto

PROFILE = {
    "behaviors": [{"name": "known-listeners", "metric": "aws:listening-tcp-ports",
                   "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 8883]}}}],
    "targets": ["group/fleet"],
}
# Who writes what: the whole of deploy/kafka/acls.csv, said once more in other words. "relay": whoever has the store.
RELAYED = {"access", "actions", "certificates", "devices", "incidents", "rules", "violations"}
WRITES = {
    "gateway": {"devices", "enforcement", "gateways"},
    "detector": {"cohort-samples", "detector-state", "devices", "violations"},
    "cohorts": {"cohorts"},
    "responder": RELAYED,
    "notifier": RELAYED,
    "pki": RELAYED,
    "api": RELAYED,
    "historian": RELAYED | {"dead-letters"},
    "collector": RELAYED | {"dead-letters", "gateways"},
}
TABLES_OF_RELAY = {"access", "certificates", "rules"}  # it reads back what it has published
READS = {
    "gateway": {"access", "certificates", "rules"},
    "detector": {"cohorts", "detector-state", "devices", "gateways", "rules"},
    "cohorts": {"cohort-samples", "cohorts", "rules"},
    "responder": TABLES_OF_RELAY | {"enforcement", "gateways", "violations"},
    "notifier": TABLES_OF_RELAY | {"actions"},
    "pki": TABLES_OF_RELAY,
    "api": TABLES_OF_RELAY | {"devices", "gateways"},
    "historian": TABLES_OF_RELAY | {"dead-letters", "violations"},
    "collector": TABLES_OF_RELAY,
}
TOPICS = {"access", "actions", "certificates", "cohort-samples", "cohorts", "dead-letters", "detector-state", "devices", "enforcement",
          "gateways", "incidents", "rules", "violations"}


@pytest.fixture(scope="module")
def kafka():
    """The older one: its SCRAM is understood by Debian's librdkafka."""
    users = {f"fleetward-{name}": secrets.token_urlsafe(18) for name in ["admin", *FILES_OF_ROLE]}
    settings = {"super.users": "User:ANONYMOUS;User:fleetward-admin"}
    with kafka_cluster.Kafka(version=kafka_cluster.VERSIONS[0], users=users, authorizer=True, settings=settings) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """An operator's own, that the collector reads."""
    mosquitto = Mosquitto(tmp_path_factory.mktemp("broker") / "mosquitto").start()
    yield mosquitto
    mosquitto.stop()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, kafka, postgres, alertmanager, broker):
    source = {"name": "hall", "thing": "topic devices/{thing}/metrics", "vouched": True, "host": "localhost", "port": broker.tls_port,
              "ca_file": str(broker.ca), "user": "collector", "password_file": str(broker.folder / "collector.password")}
    server = Distributed(tmp_path_factory.mktemp("least"), kafka, postgres, alertmanager=alertmanager, roles={"collector": 1},
                         settings={"collector": {"mqtt": [source]}})
    try:
        server.start()
        server.enrol(*(f"cam-{i}" for i in range(1, 13)), group="fleet")  # the caps then allow two
        server.request("PUT", "/v1/profiles/fleet", PROFILE)
        yield server
        codes = server.stop()
        assert set(codes.values()) == {0}, f"{codes}\n{server.logs()}"
    finally:
        server.kill()


def in_effect(server, thing, level):
    return [a for a in server.get(f"/v1/actions?thing={thing}")["actions"] if a["level"] == level and a["state"] == "in_effect"]


def test_the_main_job_is_done_under_them(fleet, kafka, postgres):
    wait_for("a report", lambda: publish(fleet, "cam-1", report(1), version="5", check=False).returncode == 0)
    publish(fleet, "cam-1", report(2, ports=(22, 48101)), version="5", check=False)
    (action,) = wait_for("the isolation, verified", lambda: in_effect(fleet, "cam-1", "isolate"))
    refused = publish(fleet, "cam-1", report(3), version="5", check=False)
    assert refused.returncode != 0 and "banned" in (refused.stdout + refused.stderr).lower()
    incident = fleet.incident_of("cam-1")
    wait_for("the ring at the person on call", lambda: fleet.alertmanager.rung(incident["id"]) == ["firing"])
    (revocation,) = [a for a in fleet.get("/v1/actions?thing=cam-1")["actions"] if a["level"] == "revoke"]
    fleet.cli("actions", "approve", revocation["id"], "--reason", "confirmed")
    wait_for("the revocation, verified", lambda: in_effect(fleet, "cam-1", "revoke"))
    publish(fleet, "cam-2", report(1), check=False)
    publish(fleet, "cam-2", report(2, ports=(22, 48101)), check=False)
    (action,) = wait_for("another isolation", lambda: in_effect(fleet, "cam-2", "isolate"))
    fleet.cli("actions", "release", action["id"], "--reason", "re-imaged")
    wait_for("cam-2 back", lambda: publish(fleet, "cam-2", report(9), check=False).returncode == 0)
    assert kafka.denials() == [] and postgres.denials(fleet.database) == []


def test_what_is_collected_and_replayed_under_them(fleet, kafka, postgres, broker):
    broker.publish("devices/late/metrics", report(1))
    (letter,) = wait_for("the dead letter", lambda: fleet.get("/v1/dead-letters")["deadLetters"])
    assert letter["reason"] == "unknown-thing"
    fleet.enrol("late", group="fleet")
    wait_for("the thing at the collector", lambda: fleet.cli(
        "dead-letters", "replay", letter["id"], "--why", "registered", check=False).stdout == "1 of 1 taken\n")
    broker.publish("devices/late/metrics", report(2, ports=(22, 48101)))
    wait_for("the alarm", lambda: fleet.get("/v1/violations?thing=late")["violations"])
    assert kafka.denials() == [] and postgres.denials(fleet.database) == []


def test_the_doctor_sees_enough_under_each(fleet, tmp_path):
    for process in fleet.roles.values():
        result = run(FLEETWARD, "doctor", "--config", process.config, check=False)
        assert result.returncode == 0, f"{process.instance}: {result.stdout}"
        assert "13, 4 partitions of devices" in result.stdout
        if process.role in ROLES_WITH_STORE:
            assert f"as fleetward_{process.role}, over TLS" in result.stdout
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text("not this one")
    result = run(FLEETWARD, "doctor", "--config", fleet.config, f"--bus.password_file={password}", check=False)
    assert result.returncode == 1 and "bus.password_file" in result.stdout and "not this one" not in result.stdout


def client_of(kafka, role):
    return {"bootstrap.servers": kafka.secure_bootstrap, "security.protocol": "SASL_SSL", "ssl.ca.location": str(kafka.ca),
            "sasl.mechanism": "SCRAM-SHA-256", "sasl.username": f"fleetward-{role}", "sasl.password": kafka.users[f"fleetward-{role}"]}


@pytest.mark.parametrize("role", sorted(FILES_OF_ROLE))
def test_what_a_role_may_do_with_topics(fleet, kafka, role):
    """As the brokers themselves say of each principal."""
    admin = AdminClient(client_of(kafka, role))
    topics = TopicCollection([f"fleetward.{topic}" for topic in sorted(TOPICS)])
    told = {topic.removeprefix("fleetward."): {o.name for o in future.result().authorized_operations}
            for topic, future in admin.describe_topics(topics, include_authorized_operations=True, request_timeout=30).items()}
    assert {topic for topic, may in told.items() if "WRITE" in may} == WRITES[role]
    assert {topic for topic, may in told.items() if "READ" in may} == READS[role]
    for topic, may in told.items():
        assert may <= {"READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"}, f"{topic}: {may}"


def test_a_gateway_cannot_write_who_has_access(fleet, kafka):
    producer = confluent_kafka.Producer(client_of(kafka, "gateway"))
    told = []
    producer.produce("fleetward.access", key="cam-3", value=b"{}", on_delivery=lambda error, _: told.append(error))
    producer.flush(30)
    assert [error.code() for error in told] == [confluent_kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED]
    assert wait_for("the brokers' note of it", lambda: [d for d in kafka.denials() if "fleetward-gateway" in d])


@pytest.mark.parametrize("role", ["gateway", "detector", "cohorts"])
def test_who_has_no_business_with_the_store_has_no_login(fleet, postgres, role):
    result = postgres.psql("SELECT 1", fleet.database, user=f"fleetward_{role}", check=False)
    assert result.returncode != 0 and "password authentication failed" in result.stderr


@pytest.mark.parametrize("role,sql", [
    ("notifier", "SELECT * FROM holds"),
    ("historian", "SELECT * FROM actions"),
    ("pki", "INSERT INTO actions SELECT * FROM actions"),
    ("collector", "UPDATE things SET version = 0"),
    ("responder", "UPDATE action_steps SET step = step"),
    ("responder", "DELETE FROM action_steps"),
    ("responder", "SELECT * FROM audit_log"),
    ("api", "DELETE FROM audit_log"),
    ("api", "DELETE FROM action_steps"),
    ("api", "SELECT * FROM incidents; CREATE TABLE mine(id INT)"),
])
def test_what_a_login_may_not_do(fleet, postgres, role, sql):
    result = postgres.psql(sql, fleet.database, user=f"fleetward_{role}", check=False)
    assert result.returncode != 0 and "permission denied" in result.stderr, result
