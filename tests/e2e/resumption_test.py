"""A resumed TLS session must not outlive the certificate's standing; an innocent device's resumption goes on."""
import ssl

import pytest

import harness
from harness import publish, report, wait_for
from mqtt_client import Connected, MqttClient

VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


@pytest.fixture(scope="module")
def resuming(tmp_path_factory, alertmanager):
    server = harness.Fleetward(tmp_path_factory.mktemp("resuming"), alertmanager, settings={"gateway": {"resumption": True}}).start()
    yield server
    assert server.stop() in (0, None)


def refused_by(server, attempt):
    """What the attempt came to, and what it moved in the gateway's refusals."""
    before = server.refusals()
    outcome = attempt()
    # The gateway counts before it hangs up, so what the client has seen is counted.
    after = server.refusals()
    return outcome, {reason: n - before.get(reason, 0) for reason, n in after.items() if n != before.get(reason, 0)}


@pytest.mark.parametrize("version", sorted(VERSIONS))
def test_revoked_and_resumed(resuming, version):
    bad, good = f"bad-{version[-1]}", f"good-{version[-1]}"
    resuming.enrol(bad, good, group=f"resume-{version[-1]}")
    clients = {name: MqttClient(resuming, name, tls=VERSIONS[version]) for name in (bad, good)}
    for client in clients.values():
        wait_for("a first full handshake", lambda: client.connect() == Connected(True, False, 0))
        assert client.connect() == Connected(True, True, 0), "resumption works before the revocation"
        client.close()

    certificate = next(c for c in resuming.get(f"/v1/certificates?thing={bad}")["certificates"])
    resuming.cli("certificates", "revoke", certificate["certificateId"], "--reason", "stolen")
    wait_for("the revocation, proven", lambda: [a for a in resuming.get(f"/v1/actions?thing={bad}")["actions"]
                                                if a["level"] == "revoke" and a["state"] == "in_effect"])

    # The client sees that its session was taken up again, and then no CONNACK; the gateway says that this was why.
    outcome, counted = refused_by(resuming, clients[bad].connect)
    assert outcome == Connected(True, True, None), "a resumed session of a revoked certificate"
    assert counted == {"after-resumption": 1}
    fresh = MqttClient(resuming, bad, tls=VERSIONS[version])
    outcome, counted = refused_by(resuming, fresh.connect)
    assert outcome.code is None and not outcome.resumed, "a new handshake of a revoked certificate"
    assert counted == {"certificate-revoked": 1}
    outcome, counted = refused_by(resuming, clients[good].connect)
    assert outcome == Connected(True, True, 0) and counted == {}, "the innocent device's resumption"
    clients[good].close()
    assert publish(resuming, good, report(1)).returncode == 0
