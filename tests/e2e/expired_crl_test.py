"""Our gateway does not decide by our CRL: with the one that is served a week past its end, the fleet connects all the same, and who
is revoked stays out all the same."""
import calendar
import time

import pytest

from faked_clock import FakedClock
from harness import publish, report, run, wait_for

LATER_DAYS = 14  # a CRL holds for a week
GROUP = "expired-crl"


@pytest.fixture
def fortnight_later(installation, tmp_path):
    """A fleet with one device revoked while all was well; then the CRL is renewed no more, and fourteen days have passed."""
    server = installation().start()
    server.enrol("calm", "calm-too", "gone", "goes", group=GROUP)
    for thing in ("calm", "gone"):
        wait_for("a first report", lambda: publish(server, thing, report(1), check=False).returncode == 0)
    revoke(server, "gone")
    wait_for("the revocation, proven", lambda: [a for a in server.get("/v1/actions?thing=gone")["actions"]
                                                if a["level"] == "revoke" and a["state"] == "in_effect"])
    assert server.stop() == 0
    server.start(faults="pki.crl_not_renewed", env=FakedClock(tmp_path, LATER_DAYS * 86_400).env())
    yield server
    assert server.stop() == 0


def revoke(server, thing):
    (certificate,) = server.get(f"/v1/certificates?thing={thing}")["certificates"]
    server.cli("certificates", "revoke", certificate["certificateId"], "--reason", "stolen")


def servers_clock(server):
    """Seconds since 1970, as its gateway's last heartbeat says."""
    (gateway,) = server.get("/v1/gateways")["gateways"]
    return gateway["time"] // 1000


def end_of(crl):
    text = run("openssl", "crl", "-in", crl, "-noout", "-nextupdate").stdout.strip()
    return calendar.timegm(time.strptime(text, "nextUpdate=%b %d %H:%M:%S %Y GMT"))


def served_crl(server, pem):
    """What everyone gets over HTTP, as a PEM file."""
    der = pem.with_suffix(".der")
    run("curl", "-sSf", "-o", der, server.crl_url)
    run("openssl", "crl", "-inform", "DER", "-in", der, "-out", pem)
    return pem


def verify(server, thing, at, *crl):
    """What openssl says of the device's certificate at that time, by that CRL or none."""
    result = run("openssl", "verify", "-attime", at, *crl, "-CAfile", server.ca, "-untrusted", server.issuer,
                 server.devices / thing / "cert.pem", check=False)
    return result.stdout + result.stderr


def report_then(server, thing, version="5"):
    """mosquitto_pub on a device whose clock goes as the server's; its exit code says whether it was acknowledged."""
    return run("faketime", "-f", f"+{LATER_DAYS}d", "mosquitto_pub", "-V", version, *server.device(thing), "-i", thing, "-q", "1", "-t",
               f"$aws/things/{thing}/defender/metrics/json", "-m", report(2), check=False, timeout=20)


def test_an_expired_crl_locks_nobody_out_and_lets_nobody_in(fortnight_later, tmp_path):
    server = fortnight_later
    # The premise: what is served to everyone has ended, and who decides by it is locked out by it.
    crl, now = served_crl(server, tmp_path / "before.pem"), servers_clock(server)
    assert end_of(crl) < now, "the CRL that is served is still in force"
    by_crl = ("-crl_check", "-CRLfile", crl)
    assert "CRL has expired" in verify(server, "calm", now, *by_crl)
    assert verify(server, "calm", now).endswith(": OK\n"), "nothing else is wrong with the certificate"

    for thing, version in (("calm", "5"), ("calm-too", "311")):
        told = report_then(server, thing, version)
        assert told.returncode == 0, told.stderr
    assert report_then(server, "gone").returncode != 0, "revoked a fortnight ago"

    assert report_then(server, "goes").returncode == 0
    revoke(server, "goes")
    wait_for("the refusal of who is revoked now", lambda: report_then(server, "goes").returncode != 0)
    assert report_then(server, "calm").returncode == 0
    # All of it happened in that state: what is served is still the same.
    assert served_crl(server, tmp_path / "after.pem").read_text() == crl.read_text()
