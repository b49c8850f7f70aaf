"""The demo in its distributed shape, as ./dev starts it: the whole story, what --keep leaves, and --down."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest

from harness import BUILD, ROOT, metrics_at, run, wait_for

ROLES = ("api", "cohorts", "detector", "gateway", "historian", "notifier", "pki", "responder")


def demo(folder, *arguments):
    return run(sys.executable, ROOT / "deploy" / "demo" / "run.py", "--build", BUILD, "--folder", folder, *arguments, timeout=300).stdout


def variables(folder):
    """What the file sets for a shell that sources it."""
    text = run("bash", "-c", f"set -a; . '{folder}/env'; env").stdout
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def running_in(folder):
    """Command lines of processes that have to do with the folder."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text()
        except OSError:
            continue  # it ended meanwhile
        if str(folder) in command and process.name != str(os.getpid()):
            found.append(command.replace("\0", " "))
    return found


@pytest.fixture
def folder():
    made = pathlib.Path(tempfile.mkdtemp(prefix="fleetward-demo-"))
    made.chmod(0o755)  # PostgreSQL is not root, and comes to its data through it
    yield made
    shutil.rmtree(made)


def test_every_role_its_own_process_and_nothing_is_left(folder):
    again = None
    try:
        told = demo(folder, "--distributed", "--keep", "--devices", "40")
        by = dict(re.findall(r"\[(\w+), process (\d+)\]", told))
        assert set(by) == {"detector", "responder", "gateway", "notifier"}, told
        for line in ("ALARM  cam-018", "verified: a probe", "PAGE   delivered", "revoked, and verified", "cert.pem: revoked"):
            assert line in told, told
        known = variables(folder)
        assert {role: known[f"PID_{role.upper()}"] for role in by} == by
        assert len({known[f"PID_{role.upper()}"] for role in ROLES}) == len(ROLES)
        actions = run("psql", "-A", "-t", "-c", "SELECT level, state FROM actions ORDER BY 1", env=known).stdout.split()
        assert actions == ["isolate|in_effect", "revoke|in_effect"]
        # One is killed and started again by hand, as it is told there: --down finds it nevertheless.
        os.kill(int(known["PID_DETECTOR"]), signal.SIGKILL)
        again = subprocess.Popen(known["FLEETWARD_START_DETECTOR"], shell=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("the devices, back from its checkpoints", lambda: devices_of_detector(known) == 40, 60)
    finally:
        left = demo(folder, "--down")
    assert "kafka" in left and "postgres" in left and "killed" not in left
    again.wait(timeout=10)
    assert running_in(folder) == []


def devices_of_detector(known):
    try:
        return metrics_at(known["METRICS_URL_DETECTOR"]).get("fleetward_detector_devices")
    except OSError:
        return None  # it is not up yet
