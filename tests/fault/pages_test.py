"""Receivers of pages that are down, slow, answer 500, or 429 with Retry-After: detection and enforcement do not wait for them, it is
told and counted, and when they are well again each page is there once. Alertmanager's route and the signed webhook's, both at once."""
import base64
import http.client
import http.server
import json
import threading
import time

import pytest
import standardwebhooks

from harness import free_ports, publish, report, wait_for

SECRET = "whsec_" + base64.b64encode(b"a secret of these tests, 32 bytes").decode()
TROUBLES = ["down", "slow", "500", "429"]
RETRY_AFTER = 6
PROFILE = {"behaviors": [{"name": "listeners", "metric": "aws:listening-tcp-ports",
                          "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 8883]}}}]}


class Receiver:
    """An HTTP server that answers as the test says; what it takes while well goes on to `take`(path, headers, body) -> status."""

    def __init__(self, take):
        self.take, self.trouble, self.attempts = take, None, []
        (self.port,) = free_ports(1)
        self.well = threading.Event()
        self.well.set()
        self.server = None
        self._open()

    def _open(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = outer.answer(self, body)
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", str(RETRY_AFTER))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass  # who asked has gone: that is what slow is about

        self.server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, request, body):
        trouble = self.trouble
        self.attempts.append(time.monotonic())
        if trouble == "slow":
            self.well.wait(120)  # it never answers: who asks gives up before
            return 500
        return int(trouble) if trouble else self.take(request.path, dict(request.headers), body)

    def fall_ill(self, trouble):
        self.attempts.clear()
        self.well.clear()
        self.trouble = trouble
        if trouble == "down":
            self.stop()

    def recover(self):
        was, self.trouble = self.trouble, None
        self.well.set()
        if was == "down":
            self._open()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def pager(alertmanager):
    """In front of the real Alertmanager."""
    def forward(path, headers, body):
        connection = http.client.HTTPConnection("127.0.0.1", alertmanager.port, timeout=10)
        connection.request("POST", path, body, {"Content-Type": headers["Content-Type"]})
        return connection.getresponse().status

    made = Receiver(forward)
    yield made
    made.stop()


@pytest.fixture
def hook():
    """Keeps what verifies: (message id, incident, revision)."""
    told = []

    def take(_path, headers, body):
        message = standardwebhooks.Webhook(SECRET).verify(body, {k.lower(): v for k, v in headers.items()})
        incident = message["data"]["incident"]
        told.append((headers["webhook-id"], incident["id"], incident["revision"]))
        return 204

    made = Receiver(take)
    made.told = told
    yield made
    made.stop()


def playbook():
    """An incident for each trouble."""
    return json.dumps({"entries": [{"name": f"hold-{t}", "match": {"profile": f"in-{t}"}, "level": "isolate", "mode": "act",
                                    "severity": "critical"} for t in TROUBLES]})


def install(installation, pager, hook, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    server = installation(playbook=playbook(), settings={"notifier": {
        "alertmanagers": [f"http://127.0.0.1:{pager.port}"],
        "webhooks": [{"url": f"http://127.0.0.1:{hook.port}/hook", "secret_file": str(secret), "allow_private": True}]}})
    server.start()
    for trouble in TROUBLES:
        server.enrol(f"thing-{trouble}", group=f"of-{trouble}")
        server.request("PUT", f"/v1/profiles/in-{trouble}", {**PROFILE, "targets": [f"group/of-{trouble}"]})
        wait_for("a report", lambda t=trouble: publish(server, f"thing-{t}", report(1), check=False).returncode == 0)
    return server


def failed(server, route):
    return server.metrics().get(f'fleetward_notifier_{route}_total{{result="failed"}}', 0)


def failing(server):
    return [v for k, v in server.metrics().items() if k.startswith("fleetward_notifier_receiver_failing{")]


def check_trouble(server, pager, hook, trouble):
    thing = f"thing-{trouble}"
    before = {route: failed(server, route) for route in ("pages", "webhooks")}
    told = len(hook.told)
    for receiver in (pager, hook):
        receiver.fall_ill(trouble)
    publish(server, thing, report(2, ports=(22, 48101)), check=False)
    wait_for("the thing to be off the network, proven", lambda: [
        a for a in server.get(f"/v1/actions?thing={thing}")["actions"] if a["state"] == "in_effect"])
    assert publish(server, thing, report(3), check=False).returncode != 0
    incident = server.incident_of(thing)["id"]
    for route in before:
        wait_for(f"tries of {route} to have failed", lambda r=route: failed(server, r) >= before[r] + 2, 60)
    assert failing(server) == [1, 1]
    assert not server.alertmanager.rung(incident) and len(hook.told) == told, "nothing has come through"
    if trouble == "429":  # it is left alone for as long as it asks
        for receiver in (pager, hook):
            assert all(later - earlier >= RETRY_AFTER for earlier, later in zip(receiver.attempts, receiver.attempts[1:]))
    for receiver in (pager, hook):
        receiver.recover()
    wait_for("the page", lambda: server.alertmanager.rung(incident), 60)
    wait_for("the message", lambda: [i for _, i, _ in hook.told if i == incident], 60)
    wait_for("all to be well", lambda: failing(server) == [0, 0])
    return incident


def test_receivers_in_trouble(installation, pager, hook, tmp_path):
    server = install(installation, pager, hook, tmp_path)
    incidents = [check_trouble(server, pager, hook, trouble) for trouble in TROUBLES]
    assert len(set(incidents)) == len(TROUBLES)
    log = server.log_path.read_text()
    for told in ("page_failed", "webhook_failed", "answers 500", "answers 429", "no answer in time"):
        assert told in log, told
    assert server.stop() == 0
    assert [server.alertmanager.rung(i) for i in incidents] == [["firing"]] * len(TROUBLES)
    ids = [message for message, _, _ in hook.told]
    assert len(ids) == len(set(ids)), "each change once"
    revisions = [(incident, revision) for _, incident, revision in hook.told]
    assert len(revisions) == len(set(revisions))
