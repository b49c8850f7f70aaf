"""Other people's MQTT clients, each in MQTT 3.1.1 and 5: reports, replies, keep-alive, takeover, isolation, restart."""
import json
import time

import pytest

import peers
from harness import report, wait_for

EACH = pytest.mark.parametrize("kind,version", peers.ALL)


def bad(report_id):
    body = json.loads(report(report_id))
    body["metrics"]["listening_tcp_ports"]["ports"][0]["port"] = 99999
    return json.dumps(body)


@EACH
def test_reports_and_replies(peer, kind, version):
    device = peer(kind, version)
    device.wait("connected")
    device.subscribe_replies()
    report_id = int(time.time() * 1000)
    for qos in device.qos:
        report_id += 1
        answer = device.report(report(report_id), qos)
        assert answer["status"] == "ACCEPTED" and answer["reportId"] == report_id and answer["thingName"] == device.thing
    wait_for("each to be done with, as its level demands", lambda: len(device.seen("sent")) == len(device.qos))
    assert all(not e["code"] for e in device.seen("sent")), str(device)
    refused = device.report(bad(report_id + 1), 1, "rejected")
    assert refused["status"] == "REJECTED" and refused["reportId"] == report_id + 1
    assert refused["statusDetails"]["ErrorCode"] == "InvalidPayload"
    assert device.report(report(report_id + 2))["reportId"] == report_id + 2, "a rejected report ends nothing"
    assert not device.seen("lost")
    assert device.leave() == 0


@EACH
def test_large_reports_and_many_under_way(peer, kind, version):
    device = peer(kind, version)
    device.wait("connected")
    device.subscribe_replies()
    report_id = int(time.time() * 1000)
    large = report(report_id, destinations=tuple(f"10.{i // 250}.{i % 250}.7:8883" for i in range(1200)))
    assert 100_000 < len(large) < 128_000
    assert device.report(large)["reportId"] == report_id
    ids = [report_id + i for i in range(1, 41)]
    for i in ids:
        device.say("publish", device.topic, 1, report(i))
    for i in ids:
        assert json.loads(device.wait("message")["payload"])["reportId"] == i
    assert not device.seen("lost")


@EACH
def test_subscribing_beside_its_own_topics_is_refused(peer, kind, version):
    device = peer(kind, version)
    device.wait("connected")
    codes = device.subscribe("$aws/things/somebody-else/defender/metrics/json/accepted")
    assert codes == [135] if version == "5" else codes == [128]
    device.subscribe_replies()
    assert not device.seen("lost")


@EACH
def test_the_same_device_again_takes_over(fleet, peer, kind, version):
    wills = fleet.metrics().get("fleetward_gateway_wills_ignored_total", 0)
    older = peer(kind, version, once=True, will="fleet/gone")
    older.wait("connected")
    older.subscribe_replies()
    newer = peer(kind, version)
    newer.wait("connected")
    lost = older.wait("lost")
    if version == "5":
        assert lost["code"] == 0x8E, str(older)
    newer.subscribe_replies()
    report_through(newer)
    assert fleet.metrics()["fleetward_gateway_wills_ignored_total"] == wills + 1
    assert len(newer.seen("connected")) == 1


def report_through(device):
    report_id = int(time.time() * 1000)
    assert device.report(report(report_id))["reportId"] == report_id


# The clients' own waits (seconds) would add up: from here on all of them are there together.

@pytest.fixture
def all_peers(peer):
    def start(**more):
        devices = [peer(kind, version, **more) for kind, version in peers.ALL]
        for device in devices:
            device.wait("connected")
            device.subscribe_replies()
        return devices

    return start


def test_their_pings_keep_them(all_peers):
    devices = all_peers(keep_alive=3)
    # Two are more than one and a half keep-alives: a server that did not hear them would have cut the session.
    for device in devices:
        for _ in range(2):
            device.wait("pong")
        report_through(device)
        assert not device.seen("lost"), str(device)


def test_isolated_and_let_back(fleet, all_peers):
    devices = all_peers()
    for device in devices:
        fleet.cli("things", "quarantine", device.thing, "--reason", "conformance")
    for device in devices:
        lost = device.wait("lost")
        if device.version == "5":
            assert lost["code"] == 0x98, str(device)
        refused = device.wait("refused")
        assert refused["code"] == (0x8A if device.version == "5" else device.refusal_311), str(device)
    for device in devices:
        fleet.cli("things", "release", device.thing, "--reason", "conformance")
    for device in devices:
        device.wait("connected")  # by itself
        device.subscribe_replies()
        report_through(device)


def test_back_after_a_restart(fleet, all_peers):
    # They ask for a session that is kept, as AWS's agents do, and are told that there is none.
    devices = all_peers(keep_session=True)
    for device in devices:
        assert not device.seen("connected")[0].get("session"), str(device)
    assert fleet.stop() == 0
    for device in devices:
        lost = device.wait("lost")
        if device.version == "5":
            assert lost["code"] == 0x8B, str(device)
    fleet.start()
    for device in devices:
        device.wait("connected", 30)
        device.subscribe_replies()
        report_through(device)
    wait_for("all sessions", lambda: fleet.metrics()["fleetward_gateway_sessions"] == len(devices))
