"""Where everything of one demo is: folders, ports, files, environment; and how its server is started.

`Installation` is the embedded default, one process; cluster.py has the other shape.
"""
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import time
import urllib.error
import urllib.request

from processes import free_ports

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
READY_SECONDS = 60


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


class Installation:
    """Every role in one process, over log and store in the data folder."""

    shape = "every role in one process"

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
        self.metrics = f"http://127.0.0.1:{self.ops_port}/metrics"
        self.alertmanager = f"http://127.0.0.1:{self.pager_port}"
        self.crl_url, self.ocsp_url = f"{self.pki}/crl/issuing.crl", f"{self.pki}/ocsp"
        self.ca, self.issuer = self.data / "pki" / "root.crt", self.data / "pki" / "issuing.crt"
        self.processes = None

    def prepare(self):
        """A fresh installation each time: what an earlier demo left is of no use."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("data", "devices", "alertmanager", "roles", "kafka", "postgres"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in ("env", "acked.jsonl", "events.jsonl"):
            (self.folder / name).unlink(missing_ok=True)

    def settings(self):
        """By section."""
        return {
            "fleetward": {"data_dir": str(self.data)},
            "gateway": {"address": "127.0.0.1", "port": self.mqtt_port, "mode": "enforce"},
            "api": {"address": "127.0.0.1", "port": self.api_port},
            "pki": {"address": "127.0.0.1", "port": self.pki_port, "public_url": self.pki},
            "operations": {"address": "127.0.0.1", "port": self.ops_port},
            "responder": {"mode": "enforce", "playbook": str(HERE / "playbook.yaml")},
            "notifier": {"alertmanagers": [self.alertmanager]},
        }

    # ---- its server

    def start(self, processes):
        """Returns when it is ready."""
        self.processes = processes
        write_settings(self.config, self.settings())
        self.init()
        processes.start("fleetward", self.start_command(), self.server_log)
        wait_until_ready("Fleetward", f"http://127.0.0.1:{self.ops_port}/readyz", self.check)

    def init(self):
        made = subprocess.run([self.fleetward, "init", "--config", self.config], capture_output=True, text=True)
        if made.returncode != 0:
            raise RuntimeError(f"fleetward init failed:\n{made.stderr}")

    def check(self):
        """Raises when a server process has ended by itself."""
        self.processes.check("fleetward", self.server_log)

    def by(self, role):
        """Which process did something, for the end of a line: nothing to say where there is one."""
        del role
        return ""

    def start_command(self):
        return [self.fleetward, "run", "all", "--config", self.config]

    # ---- for its clients

    def variables(self):
        return self.variables_of_clients() | {
            "PID": self.processes.pid("fleetward"),
            "FLEETWARD_START": shlex.join(str(word) for word in self.start_command()),
        }

    def variables_of_clients(self):
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
            "METRICS_URL": self.metrics,
            "MQTT_HOST": "localhost",
            "MQTT_PORT": self.mqtt_port,
            "CA_FILE": self.ca,
            "ISSUER_FILE": self.issuer,
            "DEVICES_DIR": self.devices,
            "CRL_URL": self.crl_url,
            "OCSP_URL": self.ocsp_url,
            "ALERTMANAGER_URL": self.alertmanager,
            "DATA_DIR": self.data,
        }

    def environment(self):
        return dict(os.environ, **{name: str(value) for name, value in self.variables().items()})

    def write_env_file(self):
        lines = ["# Source this file: `fleetward …` and `aws iot …` then work without flags."]
        lines += [f"export {name}={shlex.quote(str(value))}" for name, value in self.variables().items()]
        # Ours last: the reader's own python3 and aws stay what they are.
        lines.append(f"export PATH={shlex.quote(str(self.fleetward.parent))}:\"$PATH\":{shlex.quote(str(ROOT / 'build/venv/bin'))}")
        # It holds the administrator's token: for its owner alone, from the first byte on.
        write_secret(self.env_file, "\n".join(lines) + "\n")

    def more_to_look_at(self):
        """Lines for who looks around, beside those of every shape."""
        return []


def write_settings(path, settings):
    """YAML: a section a line, its values as JSON has them."""
    lines = ["# Written by the demo. `fleetward config` tells of all settings."]
    path.write_text("\n".join(lines + [f"{section}: {json.dumps(values)}" for section, values in settings.items()]) + "\n")


def write_secret(path, text):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
    os.chmod(path, 0o600)
