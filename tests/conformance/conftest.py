"""Fixtures of the conformance suite: the clients that were compiled, and peers that end with their test."""
import pytest

import peers


@pytest.fixture(scope="session", autouse=True)
def paho_c():
    peers.compile_paho_c()


@pytest.fixture
def peer(fleet):
    """Starts a client of a kind and version as the thing of that name."""
    made = []

    def start(kind, version, **more):
        made.append(peers.Peer(fleet, kind, version, **more))
        return made[-1]

    yield start
    for p in made:
        p.stop()


@pytest.fixture(scope="module")
def fleet(fleetward):
    """The module's installation with a thing for each client and version."""
    fleetward.enrol(*(peers.thing_of(kind, version) for kind, version in peers.ALL), group="conformance")
    return fleetward
