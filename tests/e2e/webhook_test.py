"""Pages to a webhook, as a receiver written with the Standard Webhooks library sees them."""
import http.server
import json
import os
import ssl
import subprocess
import threading

import jsonschema
import pytest
import referencing
import standardwebhooks

from harness import FLEETWARD, ROOT, publish, report, run, wait_for

SECRET = "whsec_" + "c2l4dGVlbi1zaXh0ZWVuLXNpeHRlZW4tc2l4dGVlbg=="
OLD_SECRET = "whsec_" + "dGhlLW9sZC1vbmUtdGhlLW9sZC1vbmUtdGhlLW9sZA=="


class Receiver:
    """An HTTPS server that keeps what verifies, and answers as the test says."""

    def __init__(self, folder, secret=SECRET):
        self.messages, self.refused, self.statuses, self.secret = [], [], [], secret
        self.folder = folder
        folder.mkdir(parents=True)
        self.ca = folder / "receiver.pem"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "receiver.key",
            "-out", self.ca)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca, folder / "receiver.key")
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = outer.take(dict(self.headers), body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_port}/fleetward"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, headers, body):
        try:
            message = standardwebhooks.Webhook(self.secret).verify(body, {k.lower(): v for k, v in headers.items()})
        except standardwebhooks.webhooks.WebhookVerificationError as error:
            self.refused.append(str(error))
            return 401
        status = self.statuses.pop(0) if self.statuses else 204
        self.messages.append((status, headers["webhook-id"], message))
        return status

    def good(self):
        return [(i, m) for status, i, m in list(self.messages) if status < 300]

    def settings(self, **more):
        secret = self.folder / "secret"
        secret.write_text(f"{SECRET}\n{OLD_SECRET}\n")
        os.chmod(secret, 0o600)
        return {"url": self.url, "secret_file": str(secret), "ca_file": str(self.ca), "allow_private": True, **more}

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver(tmp_path):
    made = Receiver(tmp_path / "receiver")
    yield made
    made.stop()


def watched(server, thing):
    """A device that is on line, with a profile that its next report can break."""
    server.enrol(thing, group="hooks")
    server.request("PUT", "/v1/profiles/hooks", {"targets": ["group/hooks"], "behaviors": [
        {"name": "ports", "metric": "aws:listening-tcp-ports",
         "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22]}}}]})
    wait_for("a report", lambda: publish(server, thing, report(1, ports=(22,)), check=False).returncode == 0)


def test_an_incident_is_told_verified_and_resolved(installation, receiver, tmp_path):
    old = Receiver(tmp_path / "old", secret=OLD_SECRET)  # has not changed its secret yet
    receiver.statuses += [503, 500]
    server = installation(settings={"notifier": {"webhooks": [receiver.settings(), old.settings()]}}).start()
    watched(server, "hook-1")
    publish(server, "hook-1", report(2, ports=(22, 48101)), check=False)
    wait_for("the message", receiver.good)
    assert [status for status, _, _ in receiver.messages[:2]] == [503, 500]
    assert len({i for _, i, _ in receiver.messages[:2]}) <= 2
    action = wait_for("the revocation that waits", lambda: [
        a for a in server.get("/v1/actions?thing=hook-1")["actions"] if a["state"] == "awaiting_approval"])[0]
    server.cli("actions", "refuse", action["id"], "--reason", "a drill")
    server.cli("actions", "release", action["follows"], "--reason", "a drill")
    wait_for("the end", lambda: [m for _, m in receiver.good() if m["type"] == "fleetward.incident.closed"])
    wait_for("the end at the other", lambda: [m for _, m in old.good() if m["type"] == "fleetward.incident.closed"])

    documents = {name: json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text()) for name in ("webhook", "incident")}
    registry = referencing.Registry().with_resources(
        (d["$id"], referencing.Resource.from_contents(d)) for d in documents.values())
    validator = jsonschema.Draft202012Validator(documents["webhook"], registry=registry)
    for _, message in receiver.good():
        validator.validate(message)
    assert "hook-1" in receiver.good()[0][1]["data"]["summary"]
    ids = [i for i, _ in receiver.good()]
    assert len(ids) == len(set(ids)), "each change once"
    revisions = [m["data"]["incident"]["revision"] for _, m in receiver.good()]
    assert revisions == sorted(revisions)
    assert not receiver.refused and not old.refused
    assert server.stop() == 0
    old.stop()


def test_killed_after_the_post_the_same_message_comes_again(installation, receiver):
    server = installation(settings={"notifier": {"webhooks": [receiver.settings()]}})
    server.start(faults="notifier.after_webhook")
    watched(server, "hook-2")
    publish(server, "hook-2", report(2, ports=(22, 48101)), check=False)
    server.wait_dead()
    assert len(receiver.messages) == 1
    first = receiver.messages[0][1]
    server.start()
    wait_for("the message again", lambda: len(receiver.messages) >= 2)
    again = {m["data"]["incident"]["revision"]: i for _, i, m in receiver.messages[1:]}
    told = receiver.messages[0][2]["data"]["incident"]["revision"]
    assert again.get(told, first) == first
    assert server.stop() == 0


def test_wrong_settings_are_told_before_the_start(installation, receiver):
    server = installation()
    open_secret = dict(receiver.settings())
    os.chmod(open_secret["secret_file"], 0o644)
    for webhook, told in [(open_secret, "can be read by others"), ({"url": receiver.url}, "secret_file is missing"),
                          ({"url": "http://hooks.example", "secret_file": "/nowhere"}, "/nowhere")]:
        server.write_config("enforce", {"notifier": {"webhooks": [webhook]}})
        result = run(FLEETWARD, "run", "all", "--config", server.config, "--check-config", check=False)
        assert result.returncode == 1
        assert told in result.stderr
        assert SECRET not in result.stderr


def test_a_full_disk_under_the_output_is_a_failure(installation):
    server = installation().start()
    with open("/dev/full", "w") as full:
        result = subprocess.run([str(FLEETWARD), "things", "list"], stdout=full, stderr=subprocess.PIPE, text=True,
                                env=dict(os.environ, **server.env()))
    assert result.returncode == 1
    assert "No space left on device" in result.stderr
    assert server.stop() == 0
