"""./dev bench hostile: how long healthy devices wait for their acknowledgement while others misbehave.

A real `fleetward run all` with its default limits. One process has the healthy devices, one after the other with a pause; others attack
from addresses of their own. Everything shares the machine's cores, attackers included, so this is no measure of the server alone.
"""
import multiprocessing
import pathlib
import resource
import socket
import statistics
import tempfile
import time

import harness
from hostile import address, client_context, connect_from, connect_packet, packets_until_close, tls_from
from mqtt_client import PUBACK, MqttClient

HEALTHY, BLOCKED, ATTACKERS = 20, 10, 2
PAUSE = 0.005  # between two reports, so that the healthy are no load of their own


def measure(server, seconds, results):
    """Milliseconds to each PUBACK of the healthy."""
    clients = [MqttClient(server, f"well-{i}", version="5") for i in range(HEALTHY)]
    for client in clients:
        harness.wait_for(f"{client.thing} to be let in", lambda c=client: c.connect().code == 0, 60)
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    waits, number, end = [], 0, time.monotonic() + seconds
    while time.monotonic() < end:
        for client in clients:
            number += 1
            start = time.perf_counter()
            client.publish(f"$aws/things/{client.thing}/defender/metrics/json", harness.report(number), number % 65_535 + 1)
            client.expect(PUBACK)
            waits.append((time.perf_counter() - start) * 1000)
            time.sleep(PAUSE)
    for client in clients:
        client.close()
    results.put(waits)


def repeat(work, stop, attempts):
    while not stop.is_set():
        try:
            work()
        except OSError:
            pass
        with attempts.get_lock():
            attempts.value += 1


def silent(server, me, stop, attempts):
    """TCP connections that say nothing, held until the server ends them, and made anew."""
    held = []

    def one():
        held.append(connect_from(address(me * 10 + len(held) % 10), server.mqtt_port))
        if len(held) > 3_000:
            held.pop(0).close()

    repeat(one, stop, attempts)


def handshakes(server, me, stop, attempts):
    """Whole handshakes with a good certificate, and away."""
    context, n = client_context(server, "evil"), [0]

    def one():
        n[0] += 1
        tls_from(server, "evil", address(me * 10 + n[0] % 10), context).close()

    repeat(one, stop, attempts)


def storm(server, me, stop, attempts):
    """Quarantined devices that come back at once."""
    contexts, n = {f"blocked-{i}": client_context(server, f"blocked-{i}") for i in range(BLOCKED)}, [me]

    def one():
        n[0] += 1
        thing = f"blocked-{n[0] % BLOCKED}"
        with tls_from(server, thing, address(me * 10 + n[0] % 10), contexts[thing]) as tls:
            tls.sendall(connect_packet(thing))
            packets_until_close(tls)

    repeat(one, stop, attempts)


def malformed(server, me, stop, attempts):
    """A good certificate, and a packet that is none."""
    context, n = client_context(server, "evil"), [0]

    def one():
        n[0] += 1
        with tls_from(server, "evil", address(me * 10 + n[0] % 10), context) as tls:
            tls.sendall(connect_packet("evil", flags=0x03))
            packets_until_close(tls)

    repeat(one, stop, attempts)


KINDS = {"quiet": None, "silent connections": silent, "handshake flood": handshakes, "reconnect storm": storm,
         "malformed flood": malformed}


def one_round(server, attack, seconds):
    """(milliseconds of each acknowledgement, what was attempted a second)."""
    context = multiprocessing.get_context("fork")
    stop, attempts, results = context.Event(), context.Value("q", 0), context.Queue()
    attackers = [context.Process(target=attack, args=(server, i + 1, stop, attempts)) for i in range(ATTACKERS if attack else 0)]
    for attacker in attackers:
        attacker.start()
    start = time.monotonic()
    healthy = context.Process(target=measure, args=(server, seconds, results))
    healthy.start()
    waits = results.get(timeout=seconds + 60)
    healthy.join()
    rate = attempts.value / (time.monotonic() - start)
    stop.set()
    for attacker in attackers:
        attacker.join(30)
    return waits, rate


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def prepare(server):
    server.enrol(*(f"well-{i}" for i in range(HEALTHY)), "evil", group="hostile")
    blocked = [f"blocked-{i}" for i in range(BLOCKED)]
    server.enrol(*blocked, group="storm")
    for thing in blocked:
        harness.wait_for(f"{thing} to be known", lambda t=thing: harness.publish(server, t, harness.report(1), check=False).returncode == 0)
        server.cli("things", "quarantine", thing, "--level", "isolate", "--reason", "bench")


def run(seconds, rounds):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        server = harness.Fleetward(pathlib.Path(folder), mode="enforce").start()
        try:
            prepare(server)
            waits, rates = {kind: [] for kind in KINDS}, {kind: [] for kind in KINDS}
            before = server.refusals()
            for _ in range(rounds):
                for kind, attack in KINDS.items():
                    some, rate = one_round(server, attack, seconds)
                    waits[kind].append(some)
                    rates[kind].append(rate)
                    harness.wait_for("handshakes to be over", lambda: server.metrics()["fleetward_gateway_handshakes"] == 0, 60)
            refused = {reason: n - before.get(reason, 0) for reason, n in server.refusals().items()}
        finally:
            server.stop()
    quiet = statistics.median(quantile(some, .99) for some in waits["quiet"])
    for kind, runs in waits.items():
        p50, p99 = (statistics.median(quantile(some, q) for some in runs) for q in (.5, .99))
        print(f"{kind:20} p50 {p50:6.2f} ms  p99 {p99:7.2f} ms  {p99 / quiet:5.1f} of quiet; {sum(map(len, runs))} acknowledgements, "
              f"{statistics.mean(rates[kind]):.0f} attempts a second")
    print("refused:", ", ".join(f"{reason} {n}" for reason, n in sorted(refused.items())))
