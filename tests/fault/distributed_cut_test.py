"""A gateway is cut off from Kafka under load: it goes on refusing whom it knows to be held, acknowledges nothing, what is decided
meanwhile is not called proven, and when the path is back it catches up; nothing is lost, nothing done twice (ADR 4)."""
import json
import secrets

import pytest

import kafka as kafka_cluster
from distributed import Distributed
from distributed_load import Load, playbook
from harness import publish, report, run, wait_for

VICTIMS = ["before", "meanwhile"]


class Path:
    """An address of this machine of its own, whose packets vanish while it is cut."""

    def __init__(self):
        self.address = f"127.77.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
        self.is_cut = False

    def cut(self):
        try:
            run("ip", "route", "add", "blackhole", self.address, "table", "local")
        except AssertionError as error:
            pytest.fail("this test cuts a path of the network: run it as root, in a container that may change its routes (for "
                        f"instance `--cap-add NET_ADMIN`)\n{error}")
        self.is_cut = True

    def mend(self):
        if self.is_cut:
            run("ip", "route", "del", "blackhole", self.address, "table", "local")
        self.is_cut = False


@pytest.fixture
def path():
    path = Path()
    yield path
    path.mend()


@pytest.fixture
def fleet(tmp_path, path, postgres, alertmanager):
    """Only gateway-1, where the load is, goes by the path."""
    with kafka_cluster.Kafka(far=path.address) as cluster:
        server = Distributed(tmp_path / "fleetward", cluster, postgres, alertmanager=alertmanager, roles={"gateway": 2},
                             playbook=playbook(VICTIMS))
        cut_off = server.roles["gateway-1"]
        settings = json.loads(cut_off.config.read_text())
        settings["bus"]["bootstrap"] = cluster.far_bootstrap
        cut_off.config.write_text(json.dumps(settings))
        with server.running():
            yield server
            path.mend()


def is_banned(server, thing):
    """At gateway-1."""
    result = publish(server, thing, report(900), version="5", check=False)
    return result.returncode != 0 and "banned" in (result.stdout + result.stderr).lower()


def unproven(server, thing):
    """Its action, while it waits for a gateway and says for which."""
    return [a for a in server.get(f"/v1/actions?thing={thing}")["actions"]
            if a["state"] == "verifying" and "gateway-1" in a.get("waitReason", "")]


def test_a_gateway_without_kafka_keeps_enforcing_and_catches_up(fleet, path, tmp_path):
    with Load(fleet, tmp_path, "herd", victims=VICTIMS) as load:
        load.strike("before")
        load.await_off("before")
        path.cut()
        assert is_banned(fleet, "before")
        # What was on its way before the cut may still be answered; of the rest of the load nothing is.
        load.strike("meanwhile", port=fleet.roles["gateway-2"].port)
        told = len(load.fleets[0].acknowledged())
        action, = wait_for("the action to wait for the gateway that is silent", lambda: unproven(fleet, "meanwhile"), 90)
        assert "silent" in action["waitReason"] and "gateways forget" in action["waitReason"], action["waitReason"]
        assert len(load.fleets[0].acknowledged()) == told, "acknowledged without the bus"
        assert is_banned(fleet, "before"), "the block ended with the gateway's lease"
        assert fleet.roles["gateway-1"].readiness()[0] != 200, "it does not say that it is without the bus"
        path.mend()
        load.await_more()
        assert load.await_off("meanwhile")["id"] == action["id"]
        assert is_banned(fleet, "meanwhile"), "it did not catch up"
    load.check()
