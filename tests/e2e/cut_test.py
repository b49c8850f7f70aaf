"""A live session is cut, as the device's own client sees it: other people's clients, MQTT 3.1.1 and 5."""
import pytest

from harness import publish, report, wait_for
from live_client import LiveClient

PROFILE = {
    "behaviors": [{"name": "known-listeners", "metric": "aws:listening-tcp-ports",
                   "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 8883]}}}],
    "targets": ["group/cut"],
}
CUT_5 = "Received DISCONNECT (152)"  # 0x98, administrative action
REFUSED_311 = "received CONNACK (5)"  # not authorised


def reports_of(thing):
    return f"$aws/things/{thing}/defender/metrics/json"


@pytest.fixture(scope="module")
def fleet(fleetward):
    # As many as the cap of a quarter lets be isolated by themselves: two of eight.
    fleetward.enrol(*(f"cut-{i}" for i in range(8)), group="cut")
    fleetward.request("PUT", "/v1/profiles/cut", PROFILE)
    return fleetward


def see_it_cut(server, client, thing, version):
    """MQTT 5 says why it ends; in 3.1.1 the connection closes, the client comes back by itself and is refused. A device that is
    started anew is refused in both."""
    if version == "5":
        client.wait_for("the DISCONNECT with its reason", CUT_5)
    else:
        client.wait_for("the refusal of its reconnect", REFUSED_311)
        assert client.told.count("sending CONNECT") >= 2, "it was connected until then"
    refused = publish(server, thing, report(9), version=version, check=False)
    words = "banned" if version == "5" else "not authori"
    assert refused.returncode != 0 and words in (refused.stdout + refused.stderr).lower(), refused


@pytest.mark.parametrize("version,thing", [("5", "cut-0"), ("311", "cut-1")])
def test_by_the_report_that_it_sent_itself(fleet, version, thing):
    wait_for("a first report", lambda: publish(fleet, thing, report(1), check=False).returncode == 0)
    with LiveClient(fleet, thing, version, reports_of(thing)) as client:
        client.say(report(2))
        client.wait_for("the acknowledgement of a good report", "received PUBACK")
        assert client.told.count("sending CONNECT") == 1 and CUT_5 not in client.told and client.process.poll() is None
        client.say(report(3, ports=(22, 48101)))
        see_it_cut(fleet, client, thing, version)


@pytest.mark.parametrize("version,thing", [("5", "cut-2"), ("311", "cut-3")])
def test_while_it_only_listens(fleet, version, thing):
    with LiveClient(fleet, thing, version, reports_of(thing) + "/accepted", program="mosquitto_sub") as client:
        client.wait_for("its subscription", "received SUBACK")
        fleet.cli("things", "quarantine", thing, "--reason", "lost")
        see_it_cut(fleet, client, thing, version)


@pytest.mark.parametrize("version,thing", [("5", "cut-4"), ("311", "cut-5")])
def test_with_its_certificate_alone(fleet, version, thing):
    """The thing has another certificate and is not held: the session of the revoked one ends by the certificate's record."""
    used = {c["certificateId"] for c in fleet.get(f"/v1/certificates?thing={thing}")["certificates"]}
    with LiveClient(fleet, thing, version, reports_of(thing) + "/accepted", program="mosquitto_sub") as client:
        client.wait_for("its subscription", "received SUBACK")
        other = fleet.aws("create-keys-and-certificate", "--set-as-active")
        fleet.aws("attach-thing-principal", "--thing-name", thing, "--principal", other["certificateArn"])
        fleet.cli("certificates", "revoke", *used, "--reason", "key copied")
        if version == "5":
            client.wait_for("the DISCONNECT with its reason", CUT_5)
        else:
            client.wait_for("a second connection", "sending CONNECT", times=2)
        assert client.told.count("received CONNACK") == 1, "its revoked certificate let it in again"
    assert fleet.get(f"/v1/things/{thing}")["holds"] == []
    assert publish(fleet, thing, report(9), version=version, check=False).returncode != 0, "by its revoked certificate"
    (fleet.devices / thing / "cert.pem").write_text(other["certificatePem"])
    (fleet.devices / thing / "key.pem").write_text(other["keyPair"]["PrivateKey"])
    assert publish(fleet, thing, report(9), version=version).returncode == 0
