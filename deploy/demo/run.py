#!/usr/bin/env python3
"""The demo: a whole Fleetward installation on this machine, a simulated fleet, and one device that gets compromised.

./dev demo            shows it and ends by itself
./dev demo --keep     leaves it running and prints how to look around
./dev demo --down     stops what --keep left running
"""
import argparse
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from processes import Processes, free_ports, server_started_again  # noqa: E402
from story import Story  # noqa: E402

READY_SECONDS = 40
ATTACKED = "cam-018"
ATTACK_AFTER_SECONDS = 12
REPORT_SECONDS = 2


class Stopped(Exception):
    """Somebody pressed Ctrl-C, or asked the demo to end by SIGTERM."""


class Installation:
    """Where everything of one demo is: folders, ports, files, environment."""

    def __init__(self, build, folder):
        self.build, self.folder = pathlib.Path(build).resolve(), folder
        self.fleetward = self.build / "services" / "fleetward" / "fleetward"
        self.fleetsim = self.build / "bench" / "fleetsim" / "fleetsim"
        self.data, self.devices = folder / "data", folder / "devices"
        self.config = folder / "fleetward.yaml"
        self.env_file = folder / "env"
        self.acked, self.events = folder / "acked.jsonl", folder / "events.jsonl"
        self.server_log, self.alertmanager_log = folder / "server.log", folder / "alertmanager.log"
        self.mqtt_port, self.api_port, self.pki_port, self.ops_port, self.pager_port = free_ports(5)
        self.api = f"https://127.0.0.1:{self.api_port}"
        self.pki = f"http://127.0.0.1:{self.pki_port}"
        self.operations = f"http://127.0.0.1:{self.ops_port}"
        self.alertmanager = f"http://127.0.0.1:{self.pager_port}"
        self.crl_url, self.ocsp_url = f"{self.pki}/crl/issuing.crl", f"{self.pki}/ocsp"
        self.ca, self.issuer = self.data / "pki" / "root.crt", self.data / "pki" / "issuing.crt"

    def write_config(self):
        self.config.write_text(f"""\
# Written by the demo. `fleetward run --help` tells of all settings.
fleetward: {{data_dir: {self.data}}}
gateway: {{address: 127.0.0.1, port: {self.mqtt_port}, mode: enforce}}
api: {{address: 127.0.0.1, port: {self.api_port}}}
pki: {{address: 127.0.0.1, port: {self.pki_port}, public_url: "{self.pki}"}}
operations: {{address: 127.0.0.1, port: {self.ops_port}}}
responder: {{mode: enforce, playbook: {HERE / 'playbook.yaml'}}}
notifier: {{alertmanagers: ["{self.alertmanager}"]}}
""")

    def start_command(self):
        return [self.fleetward, "run", "all", "--config", self.config]

    def variables(self, pid):
        import json
        keys = json.loads((self.data / "admin-aws.json").read_text())
        return {
            "FLEETWARD_API": self.api,
            "FLEETWARD_TOKEN": (self.data / "admin-token").read_text().strip(),
            "FLEETWARD_CA_FILE": self.ca,
            "AWS_ENDPOINT_URL_IOT": self.api,
            "AWS_ACCESS_KEY_ID": keys["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": keys["secret_access_key"],
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_CA_BUNDLE": self.ca,
            "METRICS_URL": f"{self.operations}/metrics",
            "MQTT_HOST": "localhost",
            "MQTT_PORT": self.mqtt_port,
            "CA_FILE": self.ca,
            "ISSUER_FILE": self.issuer,
            "DEVICES_DIR": self.devices,
            "CRL_URL": self.crl_url,
            "OCSP_URL": self.ocsp_url,
            "ALERTMANAGER_URL": self.alertmanager,
            "DATA_DIR": self.data,
            "PID": pid,
            "FLEETWARD_START": shlex.join(str(word) for word in self.start_command()),
        }

    def environment(self, pid):
        return dict(os.environ, **{name: str(value) for name, value in self.variables(pid).items()})

    def write_env_file(self, pid):
        lines = ["# Source this file: `fleetward …` and `aws iot …` then work without flags."]
        lines += [f"export {name}={shlex.quote(str(value))}" for name, value in self.variables(pid).items()]
        # Ours last: the reader's own python3 and aws stay what they are.
        lines.append(f"export PATH={shlex.quote(str(self.fleetward.parent))}:\"$PATH\":{shlex.quote(str(ROOT / 'build/venv/bin'))}")
        # It holds the administrator's token: for its owner alone, from the first byte on.
        with open(os.open(self.env_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write("\n".join(lines) + "\n")
        os.chmod(self.env_file, 0o600)


def answers(url):
    try:
        return urllib.request.urlopen(url, timeout=2).status == 200
    except (OSError, urllib.error.URLError):
        return False


def wait_until_ready(what, url, check):
    deadline = time.monotonic() + READY_SECONDS
    while not answers(url):
        check()
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} was not ready within {READY_SECONDS} s: {url}")
        time.sleep(0.05)


def start_alertmanager(place, processes):
    config = place.folder / "alertmanager.yml"
    config.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    processes.start("alertmanager", [
        "prometheus-alertmanager", f"--config.file={config}", f"--storage.path={place.folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{place.pager_port}", "--cluster.listen-address="], place.alertmanager_log)


def start_server(place, processes):
    made = subprocess.run([place.fleetward, "init", "--config", place.config], capture_output=True, text=True)
    if made.returncode != 0:
        raise RuntimeError(f"fleetward init failed:\n{made.stderr}")
    return processes.start("fleetward", place.start_command(), place.server_log)


def start_fleet(place, processes, env, options):
    command = [place.fleetsim, "--interval", REPORT_SECONDS, "--attack", ATTACKED, "--attack-after", ATTACK_AFTER_SECONDS,
               "--acked", place.acked, "--backoff-max", 5, "--quiet", "--seed", options.seed]
    processes.start("fleetsim", command, place.folder / "fleetsim.log", stdout=place.events, env=env)


def prepare_folder(folder):
    """A fresh installation each time: what an earlier demo left is of no use."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("data", "devices", "alertmanager"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("env", "acked.jsonl", "events.jsonl"):
        (folder / name).unlink(missing_ok=True)


def how_to_look_around(place, story):
    story.heading("It goes on running. To look around:")
    print(f"""
  source {place.env_file}

  fleetward things list                                  # the fleet
  fleetward why {ATTACKED}                                  # what happened to that device, in words
  fleetward alarms list
  fleetward actions list
  fleetward incidents list
  aws iot list-active-violations
  aws iot list-things --max-results 3
  curl --cacert "$CA_FILE" -H "Authorization: Bearer $FLEETWARD_TOKEN" "$FLEETWARD_API/v1/actions"
  curl -s "$METRICS_URL" | grep '^fleetward_'
  curl -s "$CRL_URL" | openssl crl -inform DER -noout -text
  openssl ocsp -issuer "$ISSUER_FILE" -cert "$DEVICES_DIR/{ATTACKED}/cert.pem" -url "$OCSP_URL" -CAfile "$CA_FILE"

  # The same infection by hand, from a device that the simulator does not use: it is cut off, and a page goes out.
  fleetward things enrol mine --group cameras --out "$DEVICES_DIR"
  mosquitto_pub -h "$MQTT_HOST" -p "$MQTT_PORT" --cafile "$CA_FILE" --cert "$DEVICES_DIR/mine/cert.pem" \\
    --key "$DEVICES_DIR/mine/key.pem" -i mine -q 1 -t '$aws/things/mine/defender/metrics/json' \\
    -m '{{"hed":{{"rid":1,"v":"1.0"}},"met":{{"tp":{{"pts":[{{"pt":48101}}],"t":1}}}}}}'
  fleetward why mine
  amtool --alertmanager.url="$ALERTMANAGER_URL" alert query

  ./dev demo --down                                      # stops it
""")


def show(place, processes, options):
    story = Story(place, ATTACKED, ATTACK_AFTER_SECONDS)
    story.opening(options.devices)
    start_alertmanager(place, processes)
    server = start_server(place, processes)
    wait_until_ready("Fleetward", f"{place.operations}/readyz", lambda: processes.check("fleetward", place.server_log))
    wait_until_ready("Alertmanager", f"{place.alertmanager}/-/ready",
                     lambda: processes.check("alertmanager", place.alertmanager_log))
    place.write_env_file(server.pid)
    env = place.environment(server.pid)
    story.use(env, processes)
    story.server_is_up()
    story.enrol(options.devices)
    story.apply_profile(HERE / "cameras.yaml")
    start_fleet(place, processes, env, options)
    story.fleet_started()
    story.watch()
    return story


def adopt_restarted(processes, folder):
    pid = server_started_again(folder / "data" / "bus" / "bus.db.lock", folder / "fleetward.yaml")
    if pid is not None and pid not in [running for _, running in processes.alive()]:
        processes.adopt("fleetward", pid)


def down(processes):
    alive = processes.alive()
    if not alive:
        print("demo: nothing is running")
    killed = processes.stop_all()
    if alive:
        print("demo: stopped " + ", ".join(name for name, _ in alive))
    if killed:
        print("demo: did not end in time and were killed: " + ", ".join(killed), file=sys.stderr)
    return 1 if killed else 0


def stop_on_signal(number, frame):
    del number, frame
    raise Stopped


def parse():
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=ROOT / "build" / "dev", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help="leave it running and print how to look around")
    parser.add_argument("--down", action="store_true", help="stop what --keep left running")
    parser.add_argument("--devices", type=int, default=200, metavar="N", help="size of the fleet (default: 200)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="the fleet's behaviour depends on it (default: 1)")
    options = parser.parse_args()
    if not 20 <= options.devices <= 5000:
        parser.error("--devices must be from 20 to 5000")
    return options


def main():
    options = parse()
    folder = ROOT / "build" / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    processes = Processes(folder / "processes.json")
    adopt_restarted(processes, folder)
    if options.down:
        return down(processes)
    if processes.alive():
        print("demo: one is running already; `./dev demo --down` stops it", file=sys.stderr)
        return 1
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGHUP: its terminal was closed
        signal.signal(number, stop_on_signal)
    place = None
    code = 1
    keep = False
    try:
        prepare_folder(folder)
        place = Installation(options.build, folder)
        place.write_config()
        story = show(place, processes, options)
        code = 0
        keep = options.keep
        if keep:
            how_to_look_around(place, story)
        else:
            story.ending()
    except Stopped:
        print("\ndemo: stopping", flush=True)
        code = 0
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(f"demo: {error}\ndemo: logs are in {folder}", file=sys.stderr)
    finally:
        # From here on nothing may keep it from cleaning up, not even a second Ctrl-C.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if not keep:
            killed = processes.stop_all()
            if killed:
                print("demo: did not end in time and were killed: " + ", ".join(killed), file=sys.stderr)
                code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
