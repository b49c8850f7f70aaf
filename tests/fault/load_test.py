"""kill -9 under load: what was acknowledged was applied, once; the sums agree."""
import json
import subprocess

from harness import FLEETSIM, wait_for


def acknowledged(path):
    """(thing, report_id) of every PUBACK that the simulator read."""
    if not path.exists():
        return []
    lines = [line for line in path.read_text().splitlines() if line.endswith("}")]
    return [(r["thing"], r["report_id"]) for r in map(json.loads, lines)]


def judged(server, outcome):
    return sum(value for name, value in server.metrics().items() if name.startswith("fleetward_detector_records") and outcome in name)


def test_killed_under_load(installation, tmp_path):
    server = installation(mode="observe").start()
    server.cli("things", "enrol", "--count", "60", "--prefix", "load-", "--group", "load", "--out", server.devices)
    acked = tmp_path / "acked.jsonl"
    simulator = subprocess.Popen(
        [FLEETSIM, "--devices-dir", server.devices, "--host", "localhost", "--port", str(server.mqtt_port), "--ca-file", server.ca,
         "--interval", "0.5", "--backoff", "0.2", "--backoff-max", "1", "--custom-metric", "", "--acked", acked,
         "--events", tmp_path / "events.jsonl", "--quiet"],
        stdout=subprocess.DEVNULL, stderr=open(tmp_path / "fleetsim.log", "w"))
    try:
        for target in (300, 600, 900):
            wait_for(f"{target} acknowledgements", lambda: len(acknowledged(acked)) >= target, 60)
            server.kill()
            server.start()
        wait_for("acknowledgements after the last start", lambda: len(acknowledged(acked)) >= 1200, 60)
    finally:
        simulator.terminate()
        assert simulator.wait(timeout=30) == 0, (tmp_path / "fleetsim.log").read_text()[-2000:]
    told = acknowledged(acked)
    assert len(told) == len(set(told)), "a report was acknowledged twice"

    def applied_all():
        return judged(server, "report_applied") >= len(told)

    wait_for("every acknowledged report to be applied", applied_all, 30)
    applied, duplicate = judged(server, "report_applied"), judged(server, "report_duplicate")
    # A report that is durable but whose PUBACK died with the process is sent again: a duplicate, never a second application.
    assert applied - len(told) <= 60, f"{applied} applied, {duplicate} duplicates, {len(told)} acknowledged: at most one a device was under way"
    assert server.stop() == 0
