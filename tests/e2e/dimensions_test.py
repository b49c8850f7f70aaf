"""Topic filters on behaviors, by the aws command line and a real MQTT client: only the right side of a dimension raises, each
version counts for itself, and a replay of the log agrees."""
import json

from bus_file import copy_of
from faked_clock import clock_of_1970
from harness import ACCOUNT, FLEETWARD, REGION, publish, report, run, wait_for

THING = "dim-1"


def behavior(name, side, most):
    return {"name": name, "metric": "aws:num-messages-sent", "metricDimension": {"dimensionName": "bulk", "operator": side},
            "criteria": {"comparisonOperator": "less-than", "value": {"count": most}, "durationSeconds": 300}}


def send(server, topic, count):
    """MQTT 5: this endpoint takes reports alone; what it refuses was sent all the same, and the session goes on."""
    done = run("mosquitto_pub", "-V", "5", "-d", *server.device(THING), "-i", THING, "-q", "1", "-t", topic, "-l",
               stdin="x\n" * count, check=False)
    assert done.stdout.count("received PUBACK") == count, done.stdout + done.stderr


def in_alarm(server):
    return {v["behavior"]["name"]: v for v in
            server.aws("list-active-violations", "--thing-name", THING)["activeViolations"]}


def counted(server):
    return server.metrics().get('fleetward_detector_records{outcome="counting_applied"}', 0)


def test_in_and_not_in_and_another_version(installation, tmp_path):
    server = installation(mode="observe").start()
    server.enrol(THING, group="dims")
    created = server.aws("create-dimension", "--name", "bulk", "--type", "TOPIC_FILTER", "--string-values", "data/${iot:ClientId}/#")
    assert created == {"name": "bulk", "arn": f"arn:aws:iot:{REGION}:{ACCOUNT}:dimension/bulk"}
    missing = server.aws("create-security-profile", "--security-profile-name", "none", "--behaviors",
                         json.dumps([dict(behavior("b", "IN", 5), metricDimension={"dimensionName": "none"})]), check=False)
    assert "InvalidRequestException" in missing.stderr and "dimension none does not exist" in missing.stderr
    server.aws("create-security-profile", "--security-profile-name", "dims", "--behaviors",
               json.dumps([behavior("uploads", "IN", 5), behavior("others", "NOT_IN", 12)]))
    server.aws("attach-security-profile", "--security-profile-name", "dims",
               "--security-profile-target-arn", f"arn:aws:iot:{REGION}:{ACCOUNT}:thinggroup/dims")
    partitions = wait_for("a gateway that counts the dimension", lambda: counted(server))
    wait_for("a report", lambda: publish(server, THING, report(1), check=False).returncode == 0)

    send(server, f"data/{THING}0/x", 4)  # not in: the level is another one
    send(server, f"data/{THING}/x", 5)
    alarms = wait_for("the alarm of what is in", lambda: in_alarm(server))
    assert set(alarms) == {"uploads"}
    assert alarms["uploads"]["lastViolationValue"] == {"count": 5}
    assert alarms["uploads"]["behavior"]["metricDimension"] == {"dimensionName": "bulk", "operator": "IN"}
    send(server, "elsewhere", 8)
    wait_for("the alarm of what is not in", lambda: set(in_alarm(server)) == {"uploads", "others"})
    whole = server.get(f"/v1/violations?thing={THING}")["violations"]
    assert {v["expected"] for v in whole} == {"messages sent on topics of bulk below 5 in 5 minutes",
                                              "messages sent on topics outside bulk below 12 in 5 minutes"}

    updated = server.aws("update-dimension", "--name", "bulk", "--string-values", "elsewhere", "other/+")
    assert updated["stringValues"] == ["elsewhere", "other/+"] and updated["type"] == "TOPIC_FILTER"
    wait_for("the end of both alarms", lambda: not in_alarm(server))
    wait_for("a gateway that counts the new version", lambda: counted(server) >= 2 * partitions)
    send(server, f"data/{THING}/x", 12)  # in, it was
    assert set(wait_for("an alarm by the new version", lambda: in_alarm(server))) == {"others"}
    send(server, "other/x", 5)
    wait_for("both alarms by the new version", lambda: set(in_alarm(server)) == {"uploads", "others"})

    used = server.aws("delete-dimension", "--name", "bulk", check=False)
    assert "InvalidRequestException" in used.stderr and "used by security profile dims" in used.stderr
    server.aws("delete-security-profile", "--security-profile-name", "dims")
    wait_for("no alarm without the profile", lambda: not in_alarm(server))
    server.aws("delete-dimension", "--name", "bulk")
    assert server.aws("list-dimensions")["dimensionNames"] == []
    gone = server.aws("describe-dimension", "--name", "bulk", check=False)
    assert "ResourceNotFoundException" in gone.stderr
    assert server.stop() == 0

    copy = copy_of(server, tmp_path)
    live = run(FLEETWARD, "replay", "--recorded", copy).stdout
    assert run(FLEETWARD, "replay", copy, env=clock_of_1970(tmp_path)).stdout == live
    assert len(live.splitlines()) == 8
