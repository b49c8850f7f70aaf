"""Replay gets the copied bus file alone, and a clock set to 1970: its violations equal the live ones byte for byte."""
from bus_file import copy_of
from faked_clock import clock_of_1970
from harness import FLEETWARD, publish, report, run, wait_for

BEHAVIORS = [{"name": "known-listeners", "metric": "aws:listening-tcp-ports",
              "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 8883]}}}]


def test_over_attach_detach_and_kill(installation, tmp_path):
    server = installation(mode="observe").start()
    server.enrol("v1", "v2", "v3", group="replay")
    server.request("PUT", "/v1/profiles/replay", {"behaviors": BEHAVIORS, "targets": ["group/replay"]})
    for thing in ("v1", "v2", "v3"):
        wait_for("first report", lambda: publish(server, thing, report(1), check=False).returncode == 0)
    publish(server, "v1", report(2, ports=(22, 23)))
    wait_for("the alarm of v1", lambda: server.get("/v1/violations?thing=v1")["violations"])
    server.request("PUT", "/v1/profiles/replay", {"behaviors": BEHAVIORS, "targets": []})
    wait_for("its end", lambda: not server.get("/v1/violations?thing=v1")["violations"])
    publish(server, "v2", report(2, ports=(22, 23)))
    server.kill()
    server.start()
    server.request("PUT", "/v1/profiles/replay", {"behaviors": BEHAVIORS, "targets": ["group/replay"]})
    wait_for("the alarm of v2", lambda: (publish(server, "v2", report(3, ports=(22, 23)), check=False),
                                         server.get("/v1/violations?thing=v2")["violations"])[1])
    publish(server, "v3", report(4, ports=(22, 80, 81)))
    wait_for("the alarm of v3", lambda: server.get("/v1/violations?thing=v3")["violations"])
    publish(server, "v3", report(5))
    wait_for("its clearing", lambda: not server.get("/v1/violations?thing=v3")["violations"])
    assert server.stop() == 0

    copy = copy_of(server, tmp_path)
    live, replayed = tmp_path / "live", tmp_path / "replayed"
    live.write_text(run(FLEETWARD, "replay", "--recorded", copy).stdout)
    replayed.write_text(run(FLEETWARD, "replay", copy, env=clock_of_1970(tmp_path)).stdout)
    assert len(live.read_text().splitlines()) >= 5
    run("cmp", live, replayed)
