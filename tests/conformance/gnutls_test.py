"""GnuTLS, the other big TLS library, at our MQTT port, our OCSP answers and our CRL."""
import re
import subprocess

import pytest

from harness import run, wait_for

TLS = {"1.2": "NORMAL:-VERS-ALL:+VERS-TLS1.2", "1.3": "NORMAL:-VERS-ALL:+VERS-TLS1.3"}
CONNACK, PINGREQ, PINGRESP, DISCONNECT = b"\x20\x02\x00\x00", b"\xc0\x00", b"\xd0\x00", b"\xe0\x00"
THINGS = ("tls-1", "tls-2", "tls-gone", "tls-kept")


@pytest.fixture(scope="module")
def server(fleetward):
    fleetward.enrol(*THINGS, group="gnutls")
    for thing in THINGS:
        wait_for("its certificate", lambda: fleetward.get(f"/v1/certificates?thing={thing}")["certificates"])
    return fleetward


@pytest.fixture(scope="module")
def revoked(server):
    """The thing whose certificate is revoked, in the gateway, in the CRL and in OCSP."""
    serial = revoke(server, "tls-gone")
    wait_for("the CRL with it", lambda: serial in crl(server))
    return "tls-gone", serial


def revoke(server, thing):
    certificate = server.get(f"/v1/certificates?thing={thing}")["certificates"][0]
    server.cli("certificates", "revoke", certificate["certificateId"], "--reason", "conformance")
    return certificate["serial"]


def fetch_crl(server):
    """The CRL that is served, as PEM."""
    der, pem = server.folder / "issuing.crl", server.folder / "issuing.crl.pem"
    run("curl", "-sSf", "-o", der, server.crl_url)
    run("certtool", "--crl-info", "--inder", "--infile", der, "--outfile", pem)
    return pem


def crl(server):
    return run("certtool", "--crl-info", "--infile", fetch_crl(server)).stdout


class Connection:
    """gnutls-cli with what it was told and what it says."""

    def __init__(self, server, priority, thing=None, *more):
        self.path = server.folder / "gnutls-cli.log"
        self.log = open(self.path, "wb")
        folder = server.devices / (thing or "none")
        certificate = ["--x509certfile", folder / "cert.pem", "--x509keyfile", folder / "key.pem"] if thing else []
        self.process = subprocess.Popen(["gnutls-cli", "--priority", priority, "--x509cafile", server.ca, *certificate, *more,
                                         "-p", str(server.mqtt_port), "localhost"], stdin=subprocess.PIPE, stdout=self.log,
                                        stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.log.close()

    @property
    def told(self):
        return self.path.read_bytes()

    def wait_for(self, words):
        def is_said():
            assert words in self.told, self.told
            return True

        wait_for(f"gnutls-cli to say {words}", is_said, 20)

    def say(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()


def connect_packet(client_id):
    name = client_id.encode()
    body = b"\x00\x04MQTT\x04\x02\x00\x3c" + len(name).to_bytes(2, "big") + name
    return bytes([0x10, len(body)]) + body


@pytest.mark.parametrize("version", TLS)
def test_mutual_tls(server, version):
    with Connection(server, TLS[version], "tls-1") as c:
        c.wait_for(b"- Simple Client Mode")
        assert b"- Status: The certificate is trusted" in c.told and f"(TLS{version}".encode() in c.told
        c.say(connect_packet("tls-1"))
        c.wait_for(CONNACK)
        c.say(PINGREQ)
        c.wait_for(PINGRESP)
        c.say(DISCONNECT)
        assert c.process.wait(timeout=20) == 0


@pytest.mark.parametrize("priority", ["NORMAL:-KX-ALL:+ECDHE-ECDSA:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+CHACHA20-POLY1305",
                                      "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-GCM:-GROUP-ALL:+GROUP-SECP256R1",
                                      "NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-X25519:-CIPHER-ALL:+CHACHA20-POLY1305"])
def test_what_small_devices_choose(server, priority):
    with Connection(server, priority, "tls-1", "--alpn", "x-amzn-mqtt-ca") as c:
        c.wait_for(b"- Simple Client Mode")
        c.say(connect_packet("tls-1"))
        c.wait_for(CONNACK)


def test_old_versions_of_tls_are_refused(server):
    with Connection(server, "NORMAL:-VERS-ALL:+VERS-TLS1.1", "tls-1") as c:
        assert c.process.wait(timeout=20) != 0
        assert b"Error in protocol version" in c.told


@pytest.mark.parametrize("version", TLS)
def test_no_certificate_is_refused_by_alert(server, version):
    with Connection(server, TLS[version]) as c:
        assert c.process.wait(timeout=20) != 0
        assert b"Certificate is required" in c.told or b"Handshake failed" in c.told, c.told


@pytest.mark.parametrize("version", TLS)
def test_a_revoked_certificate_is_refused_by_alert(server, revoked, version):
    with Connection(server, TLS[version], revoked[0]) as c:
        assert c.process.wait(timeout=20) != 0
        assert b"Certificate was revoked" in c.told


def ocsp(server, thing, *more):
    """ocsptool's words; it verifies the answer's signature and, with a nonce, that ours is the one it sent."""
    return run("ocsptool", f"--ask={server.ocsp_url}", "--load-issuer", server.issuer, "--load-cert",
               server.devices / thing / "cert.pem", "--load-trust", server.issuer, *more)


@pytest.mark.parametrize("nonce", [True, False])
def test_ocsp_says_good_and_revoked(server, revoked, nonce):
    more = ["--nonce"] if nonce else []
    good = ocsp(server, "tls-2", *more).stdout
    assert "Certificate Status: good" in good and "Verifying OCSP Response: Success" in good
    assert ("Nonce:" in good) == nonce
    bad = ocsp(server, revoked[0], *more).stdout
    assert "Certificate Status: revoked" in bad and revoked[1] in bad and "Verifying OCSP Response: Success" in bad


def test_ocsp_of_a_serial_that_was_never_issued_is_not_good(server, tmp_path):
    """A certificate under our authority's name that somebody else made."""
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
        "/O=Fleetward/CN=Fleetward issuing", "-days", "1", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem")
    answer = run("ocsptool", f"--ask={server.ocsp_url}", "--load-issuer", server.issuer, "--load-cert", tmp_path / "cert.pem",
                 "--load-trust", server.issuer, check=False)
    assert "Certificate Status: unknown" in answer.stdout, answer.stdout + answer.stderr


def test_the_crl_is_signed_and_chains_are_judged_by_it(server, revoked, tmp_path):
    pem = fetch_crl(server)
    checked = run("certtool", "--verify-crl", "--load-ca-certificate", server.issuer, "--infile", pem)
    assert "Verified. The certificate is trusted" in checked.stdout
    before = int(re.search(r"CRL Number \(not critical\): (\w+)", crl(server))[1], 16)
    for thing, code in ((revoked[0], 1), ("tls-2", 0)):
        chain = tmp_path / f"{thing}.pem"
        chain.write_text((server.devices / thing / "cert.pem").read_text() + server.issuer.read_text())
        judged = run("certtool", "--verify", "--load-ca-certificate", server.ca, "--load-crl", pem, "--infile", chain, check=False)
        assert judged.returncode == code and ("The certificate chain is revoked" in judged.stdout) == bool(code), judged.stdout
    serial = revoke(server, "tls-kept")
    wait_for("the CRL with the second one", lambda: serial in crl(server))
    text = crl(server)
    assert revoked[1] in text and int(re.search(r"CRL Number \(not critical\): (\w+)", text)[1], 16) > before
