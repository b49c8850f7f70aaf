"""Every role as its own process over Kafka and PostgreSQL: how long a cut takes, what goes through, what a rebalance costs."""
import contextlib
import pathlib
import subprocess
import tempfile
import threading
import time

import distributed
import harness
import kafka
import kafka_detector
import postgres
import servers

LOAD_DEVICES = 500
ACCEPTED = 'fleetward_gateway_reports_total{result="accepted"}'
APPLIED = 'fleetward_detector_records{outcome="report_applied"}'


@contextlib.contextmanager
def installation(**arguments):
    """With a PostgreSQL that syncs what it commits."""
    with tempfile.TemporaryDirectory() as folder, kafka.Kafka(settings=kafka_detector.BROKER) as broker, \
            postgres.Postgres(durable=True) as store:
        server = distributed.Distributed(pathlib.Path(folder) / "f", broker, store, **arguments)
        try:
            yield server.start(), broker, store
        finally:
            server.kill()


def family(pid):
    """The process and its children."""
    return [pid, *(int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def cpu_by_process(server, broker, store):
    processes = {name: [role.process.pid] for name, role in server.roles.items()}
    processes |= {"kafka": [broker.processes[0].pid], "postgres": family(store.process.pid)}
    return {name: sum(map(servers.cpu_seconds, pids)) for name, pids in processes.items()}


def sustained(server, broker, store, seconds):
    """Reports a second that were evaluated while devices sent as fast as they were acknowledged; where the CPU time went."""
    load = subprocess.Popen([servers.BUILD / "bench" / "load" / "bench_load", "publish", "--devices-dir", server.devices / "load",
                             "--ca-file", server.ca, "--host", "localhost", "--port", str(server.mqtt_port), "--connections",
                             str(LOAD_DEVICES), "--seconds", str(seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    servers.line_of(load, "measuring")
    start, before, cpu = time.monotonic(), server.metrics(), cpu_by_process(server, broker, store)
    client = servers.cpu_seconds(load.pid)
    time.sleep(seconds - 1)  # its end is no part of it
    took, after = time.monotonic() - start, server.metrics()
    used = {name: value - cpu[name] for name, value in cpu_by_process(server, broker, store).items()}
    used["the load client"] = servers.cpu_seconds(load.pid) - client
    load.stdin.close()
    if load.wait(timeout=60) != 0:
        raise SystemExit("the load did not go well")
    return (after[ACCEPTED] - before[ACCEPTED]) / took, (after[APPLIED] - before.get(APPLIED, 0)) / took, {n: u / took for n, u in used.items()}


def show_sustained(accepted, evaluated, cores):
    print(f"sustained: {accepted:.0f} reports a second acknowledged by the gateway, {evaluated:.0f} evaluated; {LOAD_DEVICES} devices, one in flight each")
    shares = sorted(cores.items(), key=lambda item: -item[1])
    print("  cores: " + ", ".join(f"{name} {share:.2f}" for name, share in shares if share >= 0.005))


def wait_applied(server):
    """Until the detector has evaluated what the gateway has acknowledged, and stands still."""
    last = [-1.0]

    def is_still():
        before, last[0] = last[0], server.metrics().get(APPLIED, 0)
        return before == last[0]

    harness.wait_for("the detector at the end of the log", is_still, 120, every=1)


def pulse(broker, prefix, per_second, seconds, act=lambda: None):
    """Events of one run of `bench_kafka pulse`; `act` is done after a third of it."""
    command = [kafka_detector.PROGRAM, "pulse", broker.bootstrap, prefix, "1000", str(per_second), str(seconds)]
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, text=True)
    servers.line_of(process, "pulsing")
    timer = threading.Timer(seconds / 3, act)
    timer.start()
    told = servers.line_of(process, "pulsed")
    timer.join()
    if process.wait(timeout=60) != 0:
        raise SystemExit("the pulse did not end well")
    return told


def show_pulse(what, told):
    print(f"{what:44} p50 {told['p50Ms']} ms, p99 {told['p99Ms']} ms, longest {told['maxMs']} ms; {told['reports']} reports, "
          f"{told['events']} events, {told['doubled']} written twice")
    if told["events"] != told["reports"]:
        raise SystemExit(f"{told['reports'] - told['events']} events are missing")


def rebalances(per_second, seconds):
    """Report sent to event on topic violations, while detectors come and go."""
    with kafka_detector.prepared() as (broker, folder):
        first, second = (kafka_detector.Detector(broker, folder, f"detector-{n}") for n in (1, 2))
        try:
            first.start()
            show_pulse("one detector, quiet", pulse(broker, "quiet-", per_second, seconds))
            show_pulse("a second one joins", pulse(broker, "join-", per_second, seconds, second.start))
            show_pulse("the second leaves in good order", pulse(broker, "leave-", per_second, seconds, second.stop))
            second.start()
            show_pulse("the second is killed (session time-out 10 s)", pulse(broker, "kill-", per_second, seconds, second.kill))
        finally:
            first.kill()
            second.kill()
