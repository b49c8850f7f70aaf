"""The data folder's disk is full, under load, and has room again: nothing acknowledged is lost, nothing is called accepted that was
not kept, everyone hears of it, and all goes on without a hand and without a new start."""
import os
import urllib.request

import pytest

from bus_file import report_id, reports
from fleet_sim import Simulator, await_rules
from harness import publish, report, wait_for
from mqtt_client import PUBACK, PUBLISH, MqttClient
from small_disk import SmallDisk

DISK_BYTES = 48 << 20
DEVICES = 20
PROFILE = {"targets": ["group/full"], "behaviors": [
    {"name": "listeners", "metric": "aws:listening-tcp-ports",
     "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 554, 8883]}}}]}


@pytest.fixture
def small_disk(tmp_path):
    disk = SmallDisk(tmp_path / "fleetward-0" / "data", DISK_BYTES)
    yield disk
    disk.unmount()


def metric(server, name):
    return server.metrics().get(name, 0)


def tried_again(server, times=3):
    """The gateway has tried to write so often from now on."""
    name = "fleetward_gateway_append_retries_total"
    before = metric(server, name)
    wait_for("the log to be tried again", lambda: metric(server, name) >= before + times)


def online(server, thing):
    client = MqttClient(server, thing)
    wait_for(f"{thing} to be let in", lambda: client.connect().code == 0)
    client.subscribe(f"$aws/things/{thing}/defender/metrics/json/accepted")
    return client


def heard(client):
    """Whatever the server has said until now, without waiting."""
    client.socket.settimeout(0.001)
    try:
        return client.read()
    except TimeoutError:
        return None
    finally:
        client.socket.settimeout(10)


def install(installation):
    server = installation().start()
    server.cli("things", "enrol", "--count", str(DEVICES), "--prefix", "full-", "--group", "full", "--out", server.devices)
    for thing in ("held", "victim", "careful"):
        server.cli("things", "enrol", thing, "--group", "full", "--out", server.folder / "others")
        os.symlink(server.folder / "others" / thing, server.devices / thing)
    server.request("PUT", "/v1/profiles/full", PROFILE)
    await_rules(server)
    return server


def check_that_it_is_told(server):
    status, text = wait_for("readiness to say so", lambda: (r := server.readiness())[0] == 503 and r)
    assert "disk is full" in text, text
    assert metric(server, "fleetward_bus_commits_failed_total") > 0
    assert "disk is full" in server.log_path.read_text()
    assert urllib.request.urlopen(f"http://127.0.0.1:{server.ops_port}/livez", timeout=5).status == 200


def check_the_api(server):
    """Reading goes on; what cannot be kept is refused, clearly."""
    assert server.get("/v1/profiles/full")["behaviors"]
    problem = server.request("PUT", "/v1/profiles/other", {**PROFILE, "targets": []}, expect=(503,))
    assert problem["status"] == 503 and "disk is full" in problem["detail"], problem
    refused = server.aws("create-thing", "--thing-name", "newcomer", check=False)
    assert refused.returncode != 0 and "disk is full" in refused.stderr, refused.stderr


def test_disk_full_and_free_again(small_disk, installation, tmp_path):
    server = install(installation)
    fleet = tmp_path / "fleet"
    fleet.mkdir()
    for i in range(1, DEVICES + 1):
        os.symlink(server.devices / f"full-{i:03}", fleet / f"full-{i:03}")
    publish(server, "held", report(1, ports=(22, 48101)), check=False)
    wait_for("a hold", lambda: [a for a in server.get("/v1/actions?thing=held")["actions"] if a["state"] == "in_effect"])
    simulator = Simulator(server, tmp_path, devices=fleet, interval=0.1)
    try:
        clients = {thing: online(server, thing) for thing in ("victim", "careful")}
        for round_of in (1, 2):
            wait_for("reports under way", lambda: len(simulator.acknowledged()) >= DEVICES * 10 * round_of)
            small_disk.fill()
            tried_again(server)
            check_that_it_is_told(server)
            check_the_api(server)
            kept = {(r.key, report_id(r)) for r in reports(server)}
            # Whoever is held stays out; a report is neither acknowledged nor accepted, with QoS 1 and with QoS 0.
            assert MqttClient(server, "held").connect().code == 0x8A
            careful = clients["careful"]
            topic = "$aws/things/careful/defender/metrics/json"
            careful.publish(topic, report(100 * round_of), 100 * round_of)
            if round_of == 2:
                clients["victim"].publish("$aws/things/victim/defender/metrics/json", report(7, ports=(22, 48101)), 7)
            tried_again(server)
            assert heard(careful) is None
            assert set(simulator.acknowledged()) <= kept, "acknowledged, and not kept"
            small_disk.free()
            wait_for("readiness", lambda: server.readiness()[0] == 200)
            assert sorted(careful.read()[0] for _ in range(2)) == [PUBLISH, PUBACK]
            before = len(simulator.acknowledged())
            wait_for("reports to go on", lambda: len(simulator.acknowledged()) >= before + DEVICES * 5)
            server.request("PUT", "/v1/profiles/other", {**PROFILE, "targets": []})
        wait_for("the victim to be off the network", lambda: [
            a for a in server.get("/v1/actions?thing=victim")["actions"] if a["state"] == "in_effect"])
    finally:
        simulator.stop()
    assert not simulator.told("disconnected") and not simulator.told("refused"), "sessions go on"
    told = simulator.acknowledged()
    written = {(r.key, report_id(r)) for r in reports(server)}
    assert set(told) <= written
    assert {("careful", 100), ("careful", 200), ("victim", 7), ("held", 1)} <= written
    assert len(server.get("/v1/violations?thing=victim")["violations"]) == 1
    assert len(server.get("/v1/actions?thing=victim")["actions"]) == 2  # and the revocation that waits
    incident = server.incident_of("victim")
    wait_for("the page", lambda: server.alertmanager.rung(incident["id"]))
    assert server.stop() == 0
    assert server.alertmanager.rung(incident["id"]) == ["firing"]
