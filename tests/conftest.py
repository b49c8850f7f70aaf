"""Fixtures of the end-to-end and fault suites."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness  # noqa: E402
import kafka as kafka_cluster  # noqa: E402
import pager  # noqa: E402
import postgres as postgres_server  # noqa: E402


@pytest.fixture(scope="session")
def alertmanager(tmp_path_factory):
    receiver = pager.Alertmanager(tmp_path_factory.mktemp("alertmanager"))
    yield receiver
    receiver.stop()


@pytest.fixture(scope="module")
def kafka():
    """One broker, for one installation: names of topics are fixed."""
    with kafka_cluster.Kafka() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def postgres():
    """One server, for installations that leave it as it is: each has a database."""
    with postgres_server.Postgres() as server:
        yield server


@pytest.fixture(scope="module")
def fleetward(tmp_path_factory, alertmanager):
    """One running installation a test module."""
    server = harness.Fleetward(tmp_path_factory.mktemp("fleetward"), alertmanager).start()
    yield server
    assert server.stop() in (0, None), server.log_path.read_text()[-4000:]


@pytest.fixture
def installation(tmp_path, alertmanager):
    """A fresh installation, not started: for tests that choose settings, faults and starts themselves."""
    made = []

    def make(**arguments):
        server = harness.Fleetward(tmp_path / f"fleetward-{len(made)}", alertmanager, **arguments)
        made.append(server)
        return server

    yield make
    for server in made:
        if server.process is not None and server.process.poll() is None:
            server.process.kill()
            server.process.wait()
