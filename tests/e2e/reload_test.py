"""Certificates renewed under a running server: new connections are shown the new one, sessions stay, a broken file changes nothing."""
import os
import signal
import subprocess
import threading

import pytest

from faked_clock import FakedClock
from harness import FLEETWARD, publish, report, run, wait_for

STALE = "fleetward_server_certificate_stale"
NOT_AFTER = "fleetward_server_certificate_not_after_seconds"


class Subscriber:
    """mosquitto_sub, and what it says. It would connect again if it were cut, so its CONNECTs are counted."""

    def __init__(self, server, thing):
        self.process = subprocess.Popen(["stdbuf", "-oL", "mosquitto_sub", *server.device(thing), "-i", thing, "-d", "-k", "5", "-t",
                                         f"$aws/things/{thing}/defender/metrics/json/accepted"],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        env=dict(os.environ, LC_ALL="C"))
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(iter(self.process.stdout.readline, "")))
        self.reader.start()

    def count(self, words):
        return sum(words in line for line in self.lines)

    def check_alive(self):
        answers = self.count("received PINGRESP")
        wait_for("the next answer to a ping", lambda: self.count("received PINGRESP") > answers)
        assert self.count("sending CONNECT") == 1, self.lines

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=10)
        self.reader.join(timeout=10)


def serial(port):
    shown = run("openssl", "s_client", "-connect", f"127.0.0.1:{port}", check=False, stdin="", timeout=20).stdout
    return run("openssl", "x509", "-noout", "-serial", stdin=shown).stdout.strip()


def serials(server):
    return serial(server.mqtt_port), serial(server.api_port)


def serial_of_file(server):
    return run("openssl", "x509", "-noout", "-serial", "-in", server.data / "pki" / "server.crt").stdout.strip()


def replace(path, text):
    """As `fleetward init` and configuration tools do it."""
    beside = path.with_suffix(".beside")
    beside.touch(0o600)
    beside.write_text(text)
    beside.rename(path)


def renew(server, *names):
    server.write_config("enforce", {"fleetward": {"host_names": ["localhost", "127.0.0.1", *names]}})
    run(FLEETWARD, "init", "--config", server.config)


@pytest.fixture(scope="module")
def subscribed(fleetward):
    fleetward.enrol("sub-1", "pub-1", group="reload")
    wait_for("a report", lambda: publish(fleetward, "sub-1", report(1), check=False).returncode == 0)
    subscriber = Subscriber(fleetward, "sub-1")
    try:
        wait_for("its subscription", lambda: subscriber.count("Subscribed"))
        yield subscriber
    finally:
        subscriber.stop()


def test_a_renewed_certificate_is_shown_and_sessions_stay(fleetward, subscribed):
    before = serials(fleetward)
    assert before == (serial_of_file(fleetward),) * 2
    renew(fleetward, "renewed.test")
    renewed = serial_of_file(fleetward)
    assert renewed not in before
    wait_for("the new certificate at both listeners", lambda: serials(fleetward) == (renewed, renewed))
    subscribed.check_alive()
    assert publish(fleetward, "pub-1", report(2)).returncode == 0, "devices come in"
    fleetward.cli("things", "list")
    expiry = run("date", "+%s", "-d", run("openssl", "x509", "-noout", "-enddate", "-in", fleetward.data / "pki" / "server.crt")
                 .stdout.strip().removeprefix("notAfter=")).stdout
    wait_for("its expiry as a metric", lambda: fleetward.metrics()[NOT_AFTER] == float(expiry))
    assert fleetward.metrics()[STALE] == 0


@pytest.mark.parametrize("name,broken", [
    ("server.key", lambda pki: (pki / "ocsp.key").read_text()),
    ("server.crt", lambda pki: (pki / "server.crt").read_text()[:-100]),
    ("issuing.crt", lambda pki: "nonsense"),
])
def test_a_broken_file_leaves_the_old_one_in_force(fleetward, subscribed, name, broken):
    before = serials(fleetward)
    path = fleetward.data / "pki" / name
    good = path.read_text()
    refused = fleetward.log_path.read_text().count("server_certificate_refused")
    replace(path, broken(path.parent))
    try:
        wait_for("the refusal", lambda: fleetward.metrics()[STALE] == 1)
        assert fleetward.log_path.read_text().count("server_certificate_refused") == refused + 1, "told once"
        assert serials(fleetward) == before
        assert publish(fleetward, "pub-1", report(3)).returncode == 0, "devices come in"
        subscribed.check_alive()
    finally:
        replace(path, good)
    wait_for("the good one", lambda: fleetward.metrics()[STALE] == 0)
    assert serials(fleetward) == before


def test_an_expired_certificate_is_not_taken(fleetward, tmp_path):
    before = serials(fleetward)
    pki = fleetward.data / "pki"
    kept = {name: (pki / name).read_text() for name in ("server.crt", "server.names")}
    (pki / "server.names").unlink()  # so that it is made anew
    run(FLEETWARD, "init", "--config", fleetward.config, env=FakedClock(tmp_path, -200 * 86_400).env())
    assert serial_of_file(fleetward) not in before
    wait_for("the refusal", lambda: fleetward.metrics()[STALE] == 1)
    assert "expired at" in fleetward.log_path.read_text()
    assert serials(fleetward) == before
    for name, text in kept.items():
        replace(pki / name, text)
    wait_for("the good one", lambda: fleetward.metrics()[STALE] == 0)


def test_sighup_reads_them_and_says_so(fleetward):
    asked = fleetward.log_path.read_text().count("server_certificate_reloaded")
    fleetward.process.send_signal(signal.SIGHUP)
    wait_for("the answer", lambda: fleetward.log_path.read_text().count("server_certificate_reloaded") > asked)
