"""A device that tries to be another one: refused, counted for who it really is, and the other one does not notice anything of it.

What gateways count of each device is read from the bus after the end, when the last deltas are out: all of it, and exactly.
"""
import json

import pytest

import bus_file
from harness import publish, report, wait_for
from mqtt_client import PUBACK, PUBLISH, MqttClient

ATTEMPTS = 3
TAKEOVERS = "fleetward_gateway_takeovers_total"


def reports_of(thing):
    return f"$aws/things/{thing}/defender/metrics/json"


def report_and_read_reply(client, number):
    """One report on the live session, its PUBACK and its reply, in whichever order they come."""
    client.publish(reports_of(client.thing), report(number), number)
    reply = None
    for _ in range(2):
        kind, body = client.read()
        assert kind in (PUBACK, PUBLISH), f"0x{kind:02X} {body!r}"
        reply = json.loads(client.text_of_message(body)) if kind == PUBLISH else reply
    assert reply["status"] == "ACCEPTED" and reply["reportId"] == number


def send_as(server, version, client_id, topic):
    return publish(server, "attacker", report(100), version=version, client_id=client_id, topic=topic, check=False)


def try_its_client_id(server, version):
    for topic in (reports_of("victim"), reports_of("attacker"), reports_of("victim")):
        assert send_as(server, version, "victim", topic).returncode != 0


def try_its_topic(server, version):
    for _ in range(ATTEMPTS):
        told = send_as(server, version, "attacker", reports_of("victim"))
        # 3.1.1 has no refusal of a publish: the connection closes. MQTT 5 says it in the PUBACK, and the client exits well.
        assert "not authorized" in (told.stdout + told.stderr).lower() if version == "5" else told.returncode != 0, told


@pytest.mark.parametrize("version", ["311", "5"])
@pytest.mark.parametrize("attack,reason", [(try_its_client_id, "client-id"), (try_its_topic, "publish")])
def test_the_other_one_does_not_notice(installation, version, attack, reason):
    server = installation().start()
    server.enrol("victim", "attacker", group="identity")
    victim = MqttClient(server, "victim", version)
    wait_for("the session of the victim", lambda: victim.connect().code == 0)
    victim.subscribe(reports_of("victim") + "/accepted")
    report_and_read_reply(victim, 1)
    # Until its certificate is known the attacker's handshakes fail, which counts for nobody; then it connects once.
    wait_for("a report of the attacker itself", lambda: publish(server, "attacker", report(1), check=False).returncode == 0)

    before = server.refusals()
    attack(server, version)
    assert server.refusals() == {**before, reason: before.get(reason, 0) + ATTEMPTS}
    assert server.metrics()[TAKEOVERS] == 0
    report_and_read_reply(victim, 2)  # on the session from before
    victim.close()
    assert server.stop() == 0

    counts = bus_file.cloud_counts(server, "victim")
    sizes = counts.pop("aws:message-byte-size")
    assert sizes == len(report(1)) + len(report(2))
    # Its own connection, its two reports and their replies, its own end. Not one authorization failure.
    assert counts == {"aws:num-connection-attempts": 1, "aws:num-messages-sent": 2, "aws:num-messages-received": 2,
                      "aws:num-disconnects": 1}
    counts = bus_file.cloud_counts(server, "attacker")
    assert counts["aws:num-authorization-failures"] == ATTEMPTS, "it is counted for who it really is"
    assert counts["aws:num-connection-attempts"] == 1 + ATTEMPTS
    assert {bus_file.report_id(r) for r in bus_file.reports(server) if r.key == "victim"} == {1, 2}
