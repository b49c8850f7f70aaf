"""A resumed TLS session must not outlive the certificate's standing; an innocent device's resumption goes on."""
import pathlib
import socket
import ssl
import struct
import subprocess

import pytest

from harness import publish, report, run, wait_for

VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


class Client:
    """A device's TLS client that keeps its session, and speaks as much MQTT as a CONNECT."""

    def __init__(self, server, thing, version):
        folder = server.devices / thing
        self.port, self.thing, self.session = server.mqtt_port, thing, None
        self.context = ssl.create_default_context(cafile=str(server.ca))
        self.context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self.context.minimum_version = self.context.maximum_version = VERSIONS[version]

    def connect(self):
        """(resumed, CONNACK code); code None when there was no CONNACK."""
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        try:
            with self.context.wrap_socket(raw, server_hostname="localhost", session=self.session) as tls:
                resumed = tls.session_reused
                name = self.thing.encode()
                body = b"\x00\x04MQTT\x05\x02\x00\x3c\x00" + struct.pack(">H", len(name)) + name
                tls.sendall(bytes([0x10, len(body)]) + body)
                answer = tls.recv(1024)
                self.session = tls.session  # in TLS 1.3 the ticket has come with the data
                return resumed, answer[3] if len(answer) > 3 and answer[0] == 0x20 else None
        except (ssl.SSLError, ConnectionError, OSError):
            return None, None


@pytest.fixture(scope="module")
def resuming(tmp_path_factory, alertmanager):
    import harness
    server = harness.Fleetward(tmp_path_factory.mktemp("resuming"), alertmanager, settings={"gateway": {"resumption": True}}).start()
    yield server
    assert server.stop() in (0, None)


@pytest.mark.parametrize("version", sorted(VERSIONS))
def test_revoked_and_resumed(resuming, version):
    bad, good = f"bad-{version[-1]}", f"good-{version[-1]}"
    resuming.enrol(bad, good, group=f"resume-{version[-1]}")
    clients = {name: Client(resuming, name, version) for name in (bad, good)}
    for client in clients.values():
        wait_for("a first full handshake", lambda: client.connect() == (False, 0))
        assert client.connect() == (True, 0), "resumption works before the revocation"

    certificate = next(c for c in resuming.get(f"/v1/certificates?thing={bad}")["certificates"])
    live = subprocess.Popen(["mosquitto_sub", "-V", "5", *resuming.device(bad), "-i", bad, "-t",
                             f"$aws/things/{bad}/defender/metrics/json/accepted"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    resuming.cli("certificates", "revoke", certificate["certificateId"], "--reason", "stolen")
    wait_for("the revocation, proven", lambda: [a for a in resuming.get(f"/v1/actions?thing={bad}")["actions"]
                                                if a["level"] == "revoke" and a["state"] == "in_effect"])
    live.terminate()
    live.wait()

    _, code = clients[bad].connect()
    assert code is None, "a resumed session of a revoked certificate got a CONNACK"
    fresh = Client(resuming, bad, version)
    assert fresh.connect()[1] is None, "a new handshake of a revoked certificate got a CONNACK"
    assert clients[good].connect() == (True, 0), "the innocent device's resumption"
    assert publish(resuming, good, report(1)).returncode == 0


def test_an_expired_crl_locks_nobody_out(installation):
    """Our gateway does not decide by our CRL: a fortnight later, with the last CRL a week past its end, the fleet connects."""
    server = installation().start()
    server.enrol("calm", group="crl")
    wait_for("a report", lambda: publish(server, "calm", report(1), check=False).returncode == 0)
    assert server.stop() == 0
    # The library itself, not its wrapper: signals must reach the server.
    library = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    server.start(faults="pki.serve_stale_crl", env={"LD_PRELOAD": str(library), "FAKETIME": "+14d"})
    try:
        args = ["faketime", "-f", "+14d", "mosquitto_pub", "-V", "5", *server.device("calm"), "-i", "calm", "-q", "1", "-t",
                "$aws/things/calm/defender/metrics/json", "-m", report(2)]
        assert run(*args, timeout=20).returncode == 0
    finally:
        assert server.stop() == 0
