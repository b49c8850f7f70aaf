"""What an operator meets: the doctor, a playbook edited under a running server, ports that are taken, a store that is lost."""
import json
import shutil
import signal
import socket
import subprocess

from harness import FLEETWARD, PLAYBOOK, publish, report, run, wait_for


def doctor(server):
    result = run(FLEETWARD, "doctor", "--config", server.config, "-o", "json", check=False)
    answer = json.loads(result.stdout)
    failed = [f for f in answer["findings"] if f["result"] == "fail"]
    assert result.returncode == (1 if failed else 0)
    assert answer["healthy"] == (not failed)
    assert all(f.get("advice") for f in answer["findings"] if f["result"] != "ok")
    return {f["check"]: f for f in answer["findings"]}, failed


def test_the_doctor_beside_a_server_and_after_a_kill(installation):
    server = installation().start()
    server.enrol("doc-1")
    wait_for("a report", lambda: publish(server, "doc-1", report(1), check=False).returncode == 0)
    found, failed = doctor(server)
    assert not failed, failed
    assert str(server.process.pid) in found["process"]["found"]
    for check in ("readiness", "api", "CRL", "gateway", "Alertmanager", "store", "log", "schema", "chain", "fsync"):
        assert found[check]["result"] == "ok", found[check]
    server.kill()
    found, failed = doctor(server)
    assert not failed, failed
    assert "does not run" in found["process"]["found"]
    server.start()
    assert not doctor(server)[1], "it left nothing behind that is in the way"
    assert server.stop() == 0
    (server.data / "admin-token").chmod(0o644)
    assert [f["check"] for f in doctor(server)[1]] == [str(server.data / "admin-token")]


def stale(server):
    return server.metrics().get("fleetward_playbook_stale")


def test_the_playbook_is_read_again(installation):
    server = installation(playbook="entries: []\n").start()
    server.enrol("edit-1", group="edited")
    server.request("PUT", "/v1/profiles/edited", {"targets": ["group/edited"], "behaviors": [
        {"name": "ports", "metric": "aws:listening-tcp-ports",
         "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22]}}}]})
    server.playbook.write_text("entries: [{name: wrong, levle: isolate}]\n")
    wait_for("the refusal", lambda: "playbook_refused" in server.log_path.read_text() and stale(server) == 1)
    server.playbook.write_text(PLAYBOOK)
    wait_for("the change", lambda: "playbook_reloaded" in server.log_path.read_text() and stale(server) == 0)
    assert 'added: \\"isolate-compromised\\"' in server.log_path.read_text()
    server.process.send_signal(signal.SIGHUP)
    wait_for("the answer to the signal", lambda: "changes=none" in server.log_path.read_text())
    wait_for("a report", lambda: publish(server, "edit-1", report(1, ports=(22,)), check=False).returncode == 0)
    publish(server, "edit-1", report(2, ports=(22, 48101)), check=False)
    wait_for("an action by the new playbook", lambda: server.get("/v1/actions?thing=edit-1")["actions"])
    assert server.stop() == 0


def test_a_taken_port_ends_the_start_with_its_holder(installation):
    server = installation()
    with socket.socket() as other:
        other.bind(("127.0.0.1", server.mqtt_port))
        other.listen()
        result = run(FLEETWARD, "run", "all", "--config", server.config, check=False)
    assert result.returncode == 1
    assert f"gateway.port: cannot listen on 127.0.0.1:{server.mqtt_port}: process " in result.stderr


def test_a_lost_store_is_not_begun_anew_by_itself(installation):
    server = installation().start()
    server.enrol("lost-1")
    assert server.stop() == 0
    shutil.rmtree(server.data / "store")
    assert [f["check"] for f in doctor(server)[1]] == ["store and log"]
    result = run(FLEETWARD, "run", "all", "--config", server.config, check=False)
    assert result.returncode == 1
    assert "--accept-empty-store" in result.stderr and "fleetward.certificates" in result.stderr
    process = subprocess.Popen([str(FLEETWARD), "run", "all", "--config", str(server.config), "--accept-empty-store"],
                               stderr=subprocess.DEVNULL)
    server.process = process
    wait_for("readiness", server._is_ready)
    process.terminate()
    assert process.wait(timeout=30) == 0


def test_settings_in_force_can_be_printed_and_used_again(installation, tmp_path):
    server = installation()
    printed = run(FLEETWARD, "run", "gateway", "--config", server.config, "--print-config", "--gateway.mode=observe").stdout
    again = tmp_path / "again.yaml"
    again.write_text(printed)
    assert run(FLEETWARD, "run", "all", "--config", again, "--print-config").stdout == printed
    assert 'mode: "observe"' in printed
