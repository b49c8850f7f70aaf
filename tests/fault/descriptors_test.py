"""File descriptors run out while clients go on connecting: sessions and log go on, accepting neither spins nor dies, it is told and
counted, health and API are still answered, and with descriptors again all comes in."""
import os
import resource

from harness import publish, report, wait_for
from hostile import Healthy, Process, address, connect_from
from mqtt_client import MqttClient

CLIENTS = 120
LEFT = 6  # descriptors, beside those that are open: a few are the flood's, then there are none
PROFILE = {"targets": ["group/fds"], "behaviors": [
    {"name": "listeners", "metric": "aws:listening-tcp-ports",
     "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 8883]}}}]}


def allow_descriptors(server, count):
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (count, hard))


def failures(server):
    return server.metrics().get("fleetward_gateway_accept_failures_total", 0)


def test_descriptors_exhausted(installation, tmp_path):
    # UBSan tells whether memory is an object by opening a pipe: without descriptors it takes every object for none.
    (tmp_path / "suppressions").write_text("vptr:*\n")
    server = installation(mode="observe").start(env={"UBSAN_OPTIONS": f"suppressions={tmp_path / 'suppressions'}"})
    names = ("well-1", "well-2", "suspect", "late")
    server.enrol(*names, group="fds")
    server.request("PUT", "/v1/profiles/fds", PROFILE)
    for thing in names[:3]:
        wait_for("a report", lambda t=thing: publish(server, t, report(1), check=False).returncode == 0)
    suspect = MqttClient(server, "suspect")
    assert suspect.connect().code == 0
    with Healthy(server, "well-1", "well-2") as healthy:
        process = Process(server)
        quiet = process.descriptors()
        soft, _ = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        allow_descriptors(server, max(int(fd) for fd in os.listdir(f"/proc/{server.process.pid}/fd")) + 1 + LEFT)
        # Each from an address of its own: limits of an address are not what is tested.
        flood = [connect_from(address(i), server.mqtt_port) for i in range(CLIENTS)]
        wait_for("it to be told", lambda: "accept_failed" in server.log_path.read_text())
        # All of what follows happens without descriptors: health, API, log and store work.
        before, spent = wait_for("it to be counted", lambda: failures(server)), process.cpu_seconds()
        wait_for("more tries to accept", lambda: failures(server) >= before + 20)
        assert process.cpu_seconds() - spent < 1, "accepting spins"
        assert server.readiness()[0] == 200
        healthy.go_on_being_answered(20)
        suspect.publish("$aws/things/suspect/defender/metrics/json", report(2, ports=(22, 48101)), 2)
        wait_for("the alarm", lambda: server.get("/v1/violations?thing=suspect")["violations"])
        server.request("PUT", "/v1/profiles/other", {**PROFILE, "targets": []})
        assert process.descriptors() >= quiet + LEFT - 1
        assert server.log_path.read_text().count("accept_failed") <= 20, "told, but not for each try"
        for client in flood:
            client.close()
        allow_descriptors(server, soft)
        late = MqttClient(server, "late")
        wait_for("a new device to be let in", lambda: late.connect().code == 0)
        wait_for("accepting again", lambda: "accepting_again" in server.log_path.read_text())
        healthy.go_on_being_answered()
        late.close()
        wait_for("descriptors to be given back", lambda: process.descriptors() <= quiet + 2)
    assert len(server.get("/v1/violations?thing=suspect")["violations"]) == 1
    assert server.stop() == 0


def test_it_gives_itself_what_it_may_have(installation):
    """Services are started with few descriptors; a device is one each."""
    server = installation()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 1_048_576)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, soft), hard))
    try:
        server.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)[0] == wanted
    wait_for("it to be shown", lambda: server.metrics().get("process_max_fds") == wanted)
    assert server.metrics()["process_open_fds"] > 10
    assert server.stop() == 0
