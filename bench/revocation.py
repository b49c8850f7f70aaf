"""./dev bench crl and ocsp: revocation beside OpenSSL's own way to do it."""
import json
import os
import pathlib
import socket
import statistics
import subprocess
import tempfile
import time

import harness
from servers import cpu_seconds

BENCH_PKI = pathlib.Path(os.environ["FLEETWARD_BUILD"]) / "bench" / "pki" / "bench_pki"


def told(*arguments):
    return json.loads(harness.run(BENCH_PKI, *arguments, timeout=300).stdout)


def crl(entries, rounds):
    """Interleaved, a process each; what was written is verified by others."""
    figures = {"ours": [], "openssl": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for kind, runs in figures.items():
                runs.append(told("crl", kind, str(entries), folder))
                harness.run("openssl", "crl", "-inform", "DER", "-in", f"{folder}/crl.der", "-out", f"{folder}/crl.pem", "-CAfile",
                            f"{folder}/issuer.pem", timeout=300)
                said = harness.run("certtool", "--verify-crl", "--load-ca-certificate", f"{folder}/issuer.pem", "--infile",
                                   f"{folder}/crl.pem", timeout=300)
                assert "Verified" in said.stdout, said.stdout[-500:]
    for kind, runs in figures.items():
        seconds, peak = (statistics.median(r[key] for r in runs) for key in ("cpu_seconds", "peak_bytes"))
        print(f"{kind:8} {entries} entries: {seconds:.2f} s, {peak / 1e6:.0f} MB at its peak, {runs[0]['bytes'] / 1e6:.1f} MB of DER")


def post(request, path, keep):
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/ocsp-request\r\nContent-Length: {len(request)}\r\n"
            f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n").encode() + request


def asked(port, pid, data, keep, seconds):
    """Answers a CPU-second of that process, one question after the other."""
    answers, unanswered, s, start, before = 0, 0, None, time.monotonic(), cpu_seconds(pid)
    while time.monotonic() - start < seconds:
        if s is None:
            s = socket.create_connection(("127.0.0.1", port), timeout=10)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.sendall(data)
        answer = s.recv(8192)
        if not keep:
            while some := s.recv(8192):
                answer += some
            s.close()
            s = None
        if not answer and not keep:
            unanswered += 1  # openssl's closes now and then without a word
            assert unanswered <= answers / 10 + 1, "hardly an answer"
            continue
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b" 200 " in head.split(b"\r\n")[0] and body[:1] == b"\x30" and len(body) > 100, answer[:200]
        answers += 1
    return answers / (cpu_seconds(pid) - before), answers / seconds


class OpensslResponder:
    """`openssl ocsp` with the same authority's keys."""

    def __init__(self, server, folder, serial):
        pki = server.data / "pki"
        index = pathlib.Path(folder) / "index.txt"
        index.write_text(f"V\t400101000000Z\t\t{serial}\tunknown\t/CN=device\n")
        self.port = harness.free_ports(1)[0]
        log = pathlib.Path(folder) / "openssl.log"  # it writes a line a request: a pipe that nobody reads would stop it
        with open(log, "w") as out:
            self.process = subprocess.Popen(["openssl", "ocsp", "-index", index, "-port", str(self.port), "-rsigner", pki / "ocsp.crt",
                                             "-rkey", pki / "ocsp.key", "-CA", pki / "issuing.crt", "-ndays", "1"], stdout=out,
                                            stderr=subprocess.STDOUT)
        harness.wait_for("openssl ocsp", lambda: "waiting for OCSP client connections" in log.read_text())

    def stop(self):
        self.process.terminate()
        self.process.wait()


def ocsp(seconds, rounds):
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        server = harness.Fleetward(pathlib.Path(folder) / "f", settings={"pki": {"ocsp_per_second": 1_000_000}}).start()
        peer = None
        try:
            server.enrol("device")
            certificate = server.devices / "device" / "cert.pem"
            harness.run("openssl", "ocsp", "-issuer", server.issuer, "-cert", certificate, "-no_nonce", "-reqout", f"{folder}/request.der")
            request = pathlib.Path(f"{folder}/request.der").read_bytes()
            serial = harness.run("openssl", "x509", "-in", certificate, "-noout", "-serial").stdout.strip().partition("=")[2]
            peer = OpensslResponder(server, folder, serial)
            ours = (server.pki_port, server.process.pid)
            ways = {"fleetward, kept connection": (*ours, post(request, "/ocsp", True), True),
                    "fleetward, a connection each": (*ours, post(request, "/ocsp", False), False),
                    "openssl ocsp, a connection each": (peer.port, peer.process.pid, post(request, "/", False), False)}
            for _ in range(rounds):
                for name, way in ways.items():
                    figures.setdefault(name, []).append(asked(*way, seconds))
        finally:
            server.stop()
            if peer:
                peer.stop()
    inside = [told("ocsp", "1") for _ in range(rounds)]
    for name, key in (("in process: parse, build, sign", "ours"), ("in process, OpenSSL's objects", "openssl_objects"),
                      ("in process, signatures alone", "signatures_alone")):
        print(f"{name:34} {statistics.median(r[key] for r in inside):8.0f} a CPU-second")
    for name, runs in figures.items():
        per_cpu, per_second = (statistics.median(column) for column in zip(*runs))
        print(f"{name:34} {per_cpu:8.0f} a CPU-second; {per_second:.0f} a second with one client")
