"""Hostile below MQTT: certificates that are not good enough, handshakes that stop, crawl or never end, renegotiation, key updates
without end, a flood of handshakes from one address. Each is refused, counted once under its reason, and costs a bounded amount of
memory; devices at other addresses are answered all the while."""
import contextlib
import select
import selectors
import socket
import ssl
import threading
import warnings

import pytest

from harness import run, wait_for
from hostile import (MIB, Cost, Healthy, address, client_context, connect_from, connect_packet, counted, in_parallel, last_word,
                     moved, publish_packet, tls_from, under_attack)
from tls_attacker import TLS_1_2, TLS_1_3, TlsAttacker

HANDSHAKE_BYTES_MAX = 256 << 10  # of a handshake under way: OpenSSL's state, what was read of it, and our own
VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    with under_attack(tmp_path_factory.mktemp("attacked")) as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def healthy(attacked):
    with Healthy(attacked, "well-1", "well-2") as devices:
        yield devices


# ---- certificates

@pytest.fixture(scope="module")
def wrong(attacked, tmp_path_factory):
    """Certificates that must not be let in, by name: (certificate, key)."""
    folder = tmp_path_factory.mktemp("wrong")
    pki = attacked.data / "pki"
    made = {"no certificate": None, "an authority": (pki / "issuing.crt", pki / "issuing.key")}

    def request(name, subject="/CN=evil"):
        run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / f"{name}.key",
            "-out", folder / f"{name}.csr", "-subj", subject)

    def issue(name, *arguments, when=None, issuer=(pki / "issuing.crt", pki / "issuing.key"), usage="clientAuth"):
        request(name)
        (folder / f"{name}.ext").write_text(f"extendedKeyUsage={usage}\nbasicConstraints=CA:FALSE\n")
        run(*(["faketime", when] if when else []), "openssl", "x509", "-req", "-in", folder / f"{name}.csr", "-CA", issuer[0], "-CAkey",
            issuer[1], "-set_serial", "4711", "-days", "30", "-extfile", folder / f"{name}.ext", "-out", folder / f"{name}.pem", *arguments)
        return folder / f"{name}.pem", folder / f"{name}.key"

    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / "self.key",
        "-out", folder / "self.pem", "-subj", "/CN=evil", "-days", "30")
    # A stranger's authority that calls itself as ours does.
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / "foreign.key",
        "-out", folder / "foreign.pem", "-subj", "/O=Fleetward/CN=Fleetward issuing", "-days", "30")
    made["self-signed"] = (folder / "self.pem", folder / "self.key")
    made["of a foreign authority"] = issue("by-foreign", issuer=(folder / "foreign.pem", folder / "foreign.key"))
    made["expired"] = issue("expired", when="90 days ago")
    made["not yet valid"] = issue("early", when="+90 days")
    made["for servers"] = issue("server", usage="serverAuth")
    made["signed with SHA-1"] = issue("sha1", "-sha1")
    made["never registered"] = issue("unknown")
    return made


# What is told to the client as a TLS alert, and the reason under which it is counted.
CERTIFICATES = {
    "no certificate": ("CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE", "handshake"),
    "self-signed": ("UNKNOWN_CA", "handshake"),
    "of a foreign authority": ("UNKNOWN_CA|DECRYPT_ERROR|BAD_CERTIFICATE", "handshake"),
    "expired": ("CERTIFICATE_EXPIRED", "handshake"),
    "not yet valid": ("BAD_CERTIFICATE", "handshake"),
    "for servers": ("UNSUPPORTED_CERTIFICATE", "handshake"),
    "an authority": ("BAD_CERTIFICATE|CERTIFICATE_UNKNOWN|UNSUPPORTED_CERTIFICATE", "handshake"),
    "signed with SHA-1": ("BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_UNKNOWN|INSUFFICIENT_SECURITY", "handshake"),
    "never registered": ("CERTIFICATE_UNKNOWN|BAD_CERTIFICATE", "certificate-unknown"),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", CERTIFICATES)
def test_certificate(attacked, healthy, wrong, kind, version):
    alerts, reason = CERTIFICATES[kind]
    context = client_context(attacked, version=VERSIONS[version])
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    if wrong[kind] is not None:
        context.load_cert_chain(*wrong[kind])
    with counted(attacked, {reason: 1}), pytest.raises(ssl.SSLError) as refused:
        with tls_from(attacked, None, address(1), context) as tls:
            tls.sendall(connect_packet("evil"))
            assert tls.recv(1), "a CONNACK"
    assert any(alert in refused.value.reason for alert in alerts.split("|")), refused.value
    healthy.go_on_being_answered(1)


def test_old_versions_and_strange_protocols(attacked, healthy):
    old = client_context(attacked, "evil")
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    strange = client_context(attacked, "evil")
    strange.set_alpn_protocols(["http/1.1"])
    for context, alert in ((old, "PROTOCOL_VERSION"), (strange, "NO_APPLICATION_PROTOCOL")):
        with counted(attacked, {"handshake": 1}), pytest.raises(ssl.SSLError) as refused:
            tls_from(attacked, "evil", address(2), context)
        assert alert in str(refused.value).upper().replace(" ", "_"), refused.value
    for words in (b"GET / HTTP/1.1\r\n\r\n", connect_packet("evil"), b"\x16\x03\x01\xff\xff" + b"x" * 400, b"\x80" * 2000):
        with counted(attacked, {"handshake": 1}), connect_from(address(2), attacked.mqtt_port) as raw:
            raw.sendall(words)
            while raw.recv(4096):
                pass
    healthy.go_on_being_answered(1)


# ---- slow ones

def client_hello(server):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context(server, "evil").wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def test_a_client_hello_byte_by_byte_is_good(attacked):
    """Slow is no crime: a handshake in pieces of a byte, and MQTT in TLS records of a byte, are served."""
    raw = connect_from(address(3), attacked.mqtt_port)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context(attacked, "evil").wrap_bio(incoming, outgoing, server_hostname="localhost")

    def send_in_pieces():
        for byte in outgoing.read():
            raw.sendall(bytes([byte]))

    while True:
        try:
            tls.do_handshake()
            send_in_pieces()
            break
        except ssl.SSLWantReadError:
            send_in_pieces()
            incoming.write(raw.recv(65536))
    for byte in connect_packet("evil") + publish_packet("$aws/things/evil/defender/metrics/json", b"{}"):
        tls.write(bytes([byte]))
    send_in_pieces()
    told = b""
    while len(told) < 24 + 4:  # CONNACK, and PUBACK
        try:
            told += tls.read(4096)
        except ssl.SSLWantReadError:
            incoming.write(raw.recv(65536))
    assert told[0] == 0x20 and told[3] == 0, "CONNACK"
    assert told[24:].startswith(b"\x40") and told[26:28] == b"\x00\x01", "PUBACK"
    raw.close()


def trickle(sockets, data, stop, every=0.2):
    """A byte each, every now and then, until the data is over; whatever the server says of it."""
    at = 0
    while not stop.wait(every) and at < len(data):
        for s in sockets:
            try:
                s.sendall(data[at:at + 1])
            except OSError:
                pass
        at += 1


def wait_closed(sockets, what):
    """Until the other side has closed all of them."""
    with selectors.DefaultSelector() as waiting:
        for s in sockets:
            s.setblocking(False)
            waiting.register(s, selectors.EVENT_READ)

        def all_closed():
            for key, _ in waiting.select(0):
                try:
                    if key.fileobj.recv(65536):
                        continue
                except BlockingIOError:
                    continue
                except OSError:
                    pass
                waiting.unregister(key.fileobj)
            return not waiting.get_map()

        wait_for(what, all_closed, 60)


def test_handshakes_that_never_end(attacked, healthy):
    """All at once: TCP that says nothing, a ClientHello that crawls, one that stops half-way, and a handshake without its last flight.
    Their time is the server's; what they held is given back."""
    hello = client_hello(attacked)
    each, kinds = 60, 4
    cost = Cost(attacked, "handshakes that never end")
    stop = threading.Event()
    with counted(attacked, {"handshake": each * kinds}):
        sockets = [connect_from(address(10 + i), attacked.mqtt_port) for i in range(each * kinds)]
        silent, crawling, halved, without_end = (sockets[i::kinds] for i in range(kinds))
        thread = threading.Thread(target=trickle, args=(crawling, hello, stop), daemon=True)
        thread.start()
        for s in halved:
            s.sendall(hello[:len(hello) // 2])
        for s in without_end:
            s.sendall(hello)
        for s in without_end:
            assert s.recv(1), "the server's flight"
        cost.look()
        wait_for("all of them to be under way", lambda: attacked.metrics()["fleetward_gateway_handshakes"] == each * kinds)
        assert select.select(silent, [], [], 0)[0] == [], "who has said nothing is told nothing, and is waited for"
        healthy.go_on_being_answered()
        wait_closed(sockets, "the server to have closed them")
        stop.set()
        thread.join()
    for s in sockets:
        s.close()
    cost.is_bounded(each * kinds, HANDSHAKE_BYTES_MAX)
    cost.connections_gone()
    assert attacked.metrics()["fleetward_gateway_handshakes"] == 0
    healthy.go_on_being_answered()


def test_connects_that_never_end(attacked, healthy):
    """TLS is done, and then: nothing; a CONNECT that crawls. And a session whose packet never ends: its keep-alive is over."""
    each = 20
    cost = Cost(attacked, "CONNECTs that never end")
    stop = threading.Event()
    context = client_context(attacked, "evil")
    with counted(attacked, {"no-connect": 2 * each, "keep-alive": 1}):
        silent = [tls_from(attacked, "evil", address(300 + i), context) for i in range(each)]
        crawling = [tls_from(attacked, "evil", address(330 + i), context) for i in range(each)]
        session = tls_from(attacked, "evil", address(360), context)
        session.sendall(connect_packet("evil", keep_alive=2))
        assert session.recv(4096)[3] == 0
        session.sendall(b"\x32\x80\x20")  # 4 KiB are to come
        threads = [threading.Thread(target=trickle, args=(those, data, stop), daemon=True)
                   for those, data in ((crawling, connect_packet("evil")[:-1]), ([session], b"\x00" * 4000))]
        for thread in threads:
            thread.start()
        healthy.go_on_being_answered()
        assert last_word(session) == 0x8D, "keep-alive time-out: only a whole packet is a sign of life"
        wait_closed(silent, "the silent ones to be closed")
        wait_closed(crawling, "the crawling ones to be closed")
        stop.set()
        for thread in threads:
            thread.join()
    for s in [*silent, *crawling, session]:
        s.close()
    cost.is_bounded(2 * each + 1, HANDSHAKE_BYTES_MAX)
    cost.connections_gone()


# ---- more handshakes than the first

def test_renegotiation_is_refused(attacked, healthy):
    attacker = TlsAttacker(connect_from(address(400), attacked.mqtt_port), attacked.devices / "evil", TLS_1_2)
    assert attacker.write(connect_packet("evil")) and attacker.read()[0] == 0x20
    assert not attacker.renegotiate()
    attacker.close()
    said = run("gnutls-cli", "--rehandshake", "--insecure", "--priority", "NORMAL:-VERS-TLS1.3", "--x509certfile",
               attacked.devices / "evil" / "cert.pem", "--x509keyfile", attacked.devices / "evil" / "key.pem", "-p",
               str(attacked.mqtt_port), "localhost", check=False, stdin="")
    assert "ReHandshake was completed" not in said.stdout + said.stderr
    healthy.go_on_being_answered(1)


def test_key_updates_without_end_are_ended(attacked, healthy):
    """A few between data are good; as many as one likes, and nothing else, are an attack on the processor."""
    attacker = TlsAttacker(connect_from(address(401), attacked.mqtt_port), attacked.devices / "evil", TLS_1_3)
    assert attacker.write(connect_packet("evil")) and attacker.read()[0] == 0x20
    for _ in range(20):
        assert attacker.update_keys(5) == 5
        assert attacker.write(b"\xc0\x00") and attacker.read() == b"\xd0\x00", "PINGRESP, under the new keys"
    cost = Cost(attacked, "key updates")
    with counted(attacked, {"tls-messages": 1}):
        assert attacker.update_keys(1_000_000) < 1_000_000
    attacker.close()
    cost.slack = 4 * MIB
    cost.is_bounded(1, HANDSHAKE_BYTES_MAX)
    healthy.go_on_being_answered(1)


# ---- floods of one address

def flood(server, source, context, count, threads=8):
    """Handshakes as fast as they go, each left at once."""
    def one(_):
        with contextlib.suppress(OSError):
            tls_from(server, None, source, context).close()

    in_parallel(one, range(count), threads)


def test_a_flood_of_failing_handshakes_closes_its_address(attacked, healthy):
    """After so many failures the address is closed before a handshake is begun; the sum is what came."""
    count, before = 800, attacked.refusals()
    cost = Cost(attacked, "failing handshakes")
    flood(attacked, address(500), client_context(attacked), count)
    healthy.go_on_being_answered()
    wait_for("all of it to be counted", lambda: sum(moved(before, attacked.refusals()).values()) == count)
    told = moved(before, attacked.refusals())
    assert set(told) == {"handshake", "address-failures"}, told
    assert told["handshake"] < count / 2 < told["address-failures"], "most of it cost no handshake"
    cost.is_bounded(256, HANDSHAKE_BYTES_MAX)
    cost.connections_gone()


def test_handshakes_at_once_from_one_address_are_bounded(attacked, healthy):
    """256 at once; the rest is closed at once."""
    count = 700
    cost = Cost(attacked, "handshakes at once")
    with counted(attacked, {"handshake": 256, "address-handshakes": count - 256}):
        sockets = [connect_from(address(501), attacked.mqtt_port) for _ in range(count)]
        wait_for("those under way", lambda: attacked.metrics()["fleetward_gateway_handshakes"] == 256)
        cost.look()
        healthy.go_on_being_answered()
        for s in sockets:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # RST
            s.close()
    cost.is_bounded(256, HANDSHAKE_BYTES_MAX)
    cost.connections_gone()
