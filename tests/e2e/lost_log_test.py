"""A log that is lost beside a store that is not: told, not gone on without by itself; detection works after it was accepted."""
import json
import shutil
import stat

from harness import FLEETWARD, publish, report, run, wait_for


def failures(server):
    result = run(FLEETWARD, "doctor", "--config", server.config, "-o", "json", check=False)
    return [f for f in json.loads(result.stdout)["findings"] if f["result"] == "fail"]


def test_a_lost_log_is_told_and_detection_works_after_it(installation):
    server = installation(mode="observe").start()
    for thing in ("blind-1", "blind-2", "alarmed"):
        server.enrol(thing, group="watched")
    server.request("PUT", "/v1/profiles/watched", {"targets": ["group/watched"], "behaviors": [
        {"name": "ports", "metric": "aws:listening-tcp-ports",
         "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22]}}}]})
    wait_for("a report", lambda: publish(server, "blind-1", report(1, ports=(22,)), check=False).returncode == 0)
    publish(server, "alarmed", report(1, ports=(22, 48101)))
    wait_for("the alarm before", lambda: server.get("/v1/violations?thing=alarmed")["violations"])
    for file in [*(server.data / "bus").iterdir(), *(server.data / "store").iterdir()]:
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
    assert not failures(server)
    assert server.stop() == 0

    shutil.rmtree(server.data / "bus")
    for there in ("no file", "an empty log"):
        failed = failures(server)
        assert [f["check"] for f in failed] == ["store and log"], there
        assert "bus.db was lost" in failed[0]["found"] and "--accept-empty-log" in failed[0]["advice"]
        result = run(FLEETWARD, "run", "all", "--config", server.config, check=False)
        assert result.returncode == 1
        for word in ("reports", "violations that were not yet decided on", "detectors", "--accept-empty-log"):
            assert word in result.stderr, result.stderr

    server.start(arguments=["--accept-empty-log"])
    assert "empty_log_accepted" in server.log_path.read_text()
    assert not failures(server)
    wait_for("a report", lambda: publish(server, "blind-1", report(2, ports=(22,)), check=False).returncode == 0)
    wait_for("the end of the alarm that nobody remembers", lambda: not server.get("/v1/violations?thing=alarmed")["violations"])
    publish(server, "blind-1", report(3, ports=(22, 48101)))
    wait_for("the alarm", lambda: server.get("/v1/violations?thing=blind-1")["violations"])
    assert server.stop() == 0

    server.start()
    publish(server, "blind-2", report(1, ports=(22, 48101)))
    wait_for("the alarm of the other", lambda: server.get("/v1/violations?thing=blind-2")["violations"])
    assert server.stop() == 0
