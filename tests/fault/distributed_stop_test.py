"""Stopping while Kafka is away: each role ends by itself, in good order, and none waits for brokers that do not answer."""
import signal
import time

from distributed import Distributed
from harness import wait_for

SILENCE_SECONDS = 12  # longer than a question to the brokers may take
STOP_SECONDS = 40


def test_each_role_ends_while_kafka_is_away(tmp_path, kafka, postgres, alertmanager):
    server = Distributed(tmp_path, kafka, postgres, alertmanager=alertmanager)
    try:
        server.start()
        server.enrol("cam-1")
        kafka.kill(0)
        time.sleep(SILENCE_SECONDS)  # what they do meanwhile is the point
        for process in server.roles.values():
            process.signal(signal.SIGTERM)
        wait_for("the end of each", lambda: not [n for n, p in server.roles.items() if p.is_running()], seconds=STOP_SECONDS)
        codes = {name: process.process.returncode for name, process in server.roles.items()}
        assert set(codes.values()) == {0}, f"{codes}\n{server.logs()}"
    finally:
        server.kill()
