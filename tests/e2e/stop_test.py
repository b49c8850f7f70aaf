"""The stop file: nothing begins by itself while it is there, somebody is paged once, and it is over when it is gone."""
from harness import publish, report, wait_for

BEHAVIORS = [{"name": "ports", "metric": "aws:listening-tcp-ports",
              "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22]}}}]


def test_a_file_stops_automatic_action(installation, alertmanager):
    server = installation().start()
    server.enrol(*(f"s{i}" for i in range(8)), group="stops")
    server.request("PUT", "/v1/profiles/stops", {"targets": ["group/stops"], "behaviors": BEHAVIORS})
    wait_for("a report", lambda: publish(server, "s0", report(1, ports=(22,)), check=False).returncode == 0)

    stop = server.data / "STOP"
    stop.write_text("anna: false alarms\n")
    assert publish(server, "s0", report(2, ports=(22, 23)), check=False).returncode == 0, "it is not cut off"
    waiting = wait_for("the action that asks", lambda: server.get("/v1/actions?thing=s0")["actions"])[0]
    assert (waiting["state"], waiting["waitReason"]) == ("awaiting_approval", "the stop switch is on")
    incident = wait_for("the incident", lambda: [
        i for i in server.get("/v1/incidents?state=open")["incidents"] if i["entry"] == "governor/stop_file"])[0]
    assert str(stop) in incident["title"]
    wait_for("the page", lambda: alertmanager.alerts_of(incident["id"]))
    wait_for("the metric", lambda: server.metrics()["fleetward_responder_stop_switch"] == 1)
    shown = server.cli("governor", "show").stdout
    assert "stopped" in shown and "anna: false alarms" in shown
    assert "until the file" in server.cli("governor", "resume", "--reason", "go on").stderr

    stop.unlink()
    wait_for("its end", lambda: server.get(f"/v1/incidents/{incident['id']}")["state"] == "closed")
    assert not server.get("/v1/governor")["stopped"]
    publish(server, "s1", report(3, ports=(22, 23)), check=False)
    wait_for("the isolation", lambda: [a for a in server.get("/v1/actions?thing=s1")["actions"]
                                       if a["level"] == "isolate" and a["state"] == "in_effect"])
