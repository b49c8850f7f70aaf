"""Real processes for the end-to-end and fault suites: a Fleetward installation and its clients.

Everything listens on free loopback ports, lives in a temporary folder, and is stopped by its owner. Waiting is always for
an event, with a deadline.
"""
import json
import os
import pathlib
import random
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = pathlib.Path(os.environ.get("FLEETWARD_BUILD", ROOT / "build" / "dev"))
FLEETWARD = BUILD / "services" / "fleetward" / "fleetward"
FLEETSIM = BUILD / "bench" / "fleetsim" / "fleetsim"
AWS = ROOT / "build" / "venv" / "bin" / "aws"
ACCOUNT, REGION = "000000000000", "eu-central-1"


PORTS = range(15_000, int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]))
handed_out = set()


def free_ports(count):
    """Ports that were free just now, none twice in this process; and below those that outgoing connections are given, so that none
    is taken meanwhile."""
    found = []
    while len(found) < count:
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue  # somebody has it
        if port not in handed_out:
            handed_out.add(port)
            found.append(port)
    return found


def wait_for(what, condition, seconds=30, every=0.05):
    """The first true value of `condition()`; fails by name when `seconds` have passed."""
    deadline = time.monotonic() + seconds
    last = None
    while time.monotonic() < deadline:
        try:
            value = condition()
            if value:
                return value
        except AssertionError as error:
            last = error
        time.sleep(every)
    raise AssertionError(f"waited {seconds} s for {what}" + (f"; last: {last}" if last else ""))


def run(*command, check=True, env=None, timeout=60, stdin=None):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=timeout, input=stdin,
                            env=dict(os.environ, **(env or {})))
    if check and result.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result


def metrics_at(url):
    """Metric values by 'name{labels}'."""
    text = urllib.request.urlopen(url, timeout=5).read().decode()
    values = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            values[name] = float(value)
    return values


class Fleetward:
    """One installation on the embedded default: `fleetward run all` with its own data folder."""

    kafka = None  # the bus is a file

    def __init__(self, folder, alertmanager=None, mode="enforce", settings=None, playbook=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        self.devices = self.folder / "devices"
        self.devices.mkdir(exist_ok=True)
        self.mqtt_port, self.api_port, self.pki_port, self.ops_port = free_ports(4)
        self.api = f"https://127.0.0.1:{self.api_port}"
        self.metrics_url = f"http://127.0.0.1:{self.ops_port}/metrics"
        self.crl_url = f"http://127.0.0.1:{self.pki_port}/crl/issuing.crl"
        self.ocsp_url = f"http://127.0.0.1:{self.pki_port}/ocsp"
        self.alertmanager = alertmanager
        self.process = None
        self.starts = 0
        self.playbook = self.folder / "playbook.yaml"
        self.playbook.write_text(playbook or PLAYBOOK)
        self.config = self.folder / "fleetward.yaml"
        self.write_config(mode, settings or {})
        run(FLEETWARD, "init", "--config", self.config)
        self.token = (self.data / "admin-token").read_text().strip()

    def write_config(self, mode, settings):
        config = {
            "fleetward": {"data_dir": str(self.data), "account": ACCOUNT, "region": REGION},
            "api": {"address": "127.0.0.1", "port": self.api_port},
            "gateway": {"address": "127.0.0.1", "port": self.mqtt_port, "mode": "enforce"},
            "pki": {"address": "127.0.0.1", "port": self.pki_port, "public_url": f"http://127.0.0.1:{self.pki_port}"},
            "operations": {"address": "127.0.0.1", "port": self.ops_port},
            "responder": {"mode": mode, "playbook": str(self.playbook)},
            "notifier": {"alertmanagers": [self.alertmanager.url] if self.alertmanager else []},
        }
        for section, values in settings.items():
            config.setdefault(section, {}).update(values)
        self.config.write_text(json.dumps(config))

    # ---- the process

    def start(self, faults="", env=None, arguments=()):
        self.spawn(faults, env, arguments)
        wait_for("readiness", self._is_ready, 40)
        return self

    def spawn(self, faults="", env=None, arguments=()):
        """Not ready yet when this returns."""
        self.starts += 1
        self.log_path = self.folder / f"server-{self.starts}.log"
        self.log = open(self.log_path, "w")
        self.process = subprocess.Popen([str(FLEETWARD), "run", "all", "--config", str(self.config), *arguments],
                                        stdout=self.log, stderr=subprocess.STDOUT,
                                        env=dict(os.environ, **({"FLEETWARD_FAULT": faults} if faults else {}), **(env or {})))

    def _is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"the server ended with {self.process.returncode}:\n{self.log_path.read_text()[-4000:]}")
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.ops_port}/readyz", timeout=2).status == 200
        except (OSError, urllib.error.HTTPError):
            return False

    def stop(self, seconds=30):
        if self.process is None or self.process.poll() is not None:
            return None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=seconds)
        self.log.close()
        return code

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def wait_dead(self, seconds=30):
        code = self.process.wait(timeout=seconds)
        self.log.close()
        return code

    # ---- its clients

    def env(self):
        keys = json.loads((self.data / "admin-aws.json").read_text())
        return {
            "FLEETWARD_API": self.api,
            "FLEETWARD_TOKEN": self.token,
            "FLEETWARD_CA_FILE": str(self.ca),
            "AWS_ENDPOINT_URL_IOT": self.api,
            "AWS_ACCESS_KEY_ID": keys["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": keys["secret_access_key"],
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CA_BUNDLE": str(self.ca),
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    @property
    def ca(self):
        return self.data / "pki" / "root.crt"

    @property
    def issuer(self):
        return self.data / "pki" / "issuing.crt"

    def request(self, method, path, body=None, token=None, expect=(200, 201, 202, 204)):
        request = urllib.request.Request(self.api + path, method=method,
                                         data=None if body is None else json.dumps(body).encode(),
                                         headers={"Authorization": f"Bearer {token or self.token}",
                                                  "Content-Type": "application/json"})
        context = ssl.create_default_context(cafile=str(self.ca))
        try:
            with urllib.request.urlopen(request, timeout=20, context=context) as response:
                status, text = response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        assert status in expect, f"{method} {path}: {status} {text}"
        return json.loads(text) if text else None

    def get(self, path):
        return self.request("GET", path)

    def incident_of(self, thing):
        """The one incident that the thing is a member of; there soon after its action."""
        def found():
            incidents = [i for i in self.get("/v1/incidents")["incidents"] if thing in {m["thing"] for m in i["members"]}]
            assert len(incidents) <= 1, f"{thing} is in more than one incident: {[i['id'] for i in incidents]}"
            return incidents

        return wait_for(f"the incident of {thing}", found)[0]

    def cli(self, *args, check=True):
        return run(FLEETWARD, *args, env=self.env(), check=check)

    def aws(self, *args, check=True):
        result = run(AWS, "iot", *args, env=self.env(), check=check)
        return json.loads(result.stdout) if check and result.stdout.strip() else (None if check else result)

    def metrics(self):
        """Metric values by 'name{labels}'."""
        return metrics_at(self.metrics_url)

    def readiness(self):
        """(status, text) of /readyz."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ops_port}/readyz", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def refusals(self):
        """How much the gateway has refused so far, by reason."""
        name = 'fleetward_gateway_refused_total{reason="'
        return {key[len(name):-2]: int(value) for key, value in self.metrics().items() if key.startswith(name) and value}

    def enrol(self, *names, group="cams"):
        for name in names:
            self.cli("things", "enrol", name, "--group", group, "--out", self.devices)
        return [self.devices / name for name in names]

    def device(self, name):
        folder = self.devices / name
        return ["--cafile", str(self.ca), "--cert", str(folder / "cert.pem"), "--key", str(folder / "key.pem"),
                "-h", "localhost", "-p", str(self.mqtt_port)]


PLAYBOOK = """\
entries:
  - name: isolate-compromised
    match: {profile: "*"}
    level: isolate
    mode: act
    severity: critical
    then: revoke
"""


def report(report_id, ports=(22, 8883), destinations=("10.0.0.5:8883",), bytes_out=1000, custom=None):
    """A Device Defender report with long names."""
    body = {
        "header": {"report_id": report_id, "version": "1.0"},
        "metrics": {
            "listening_tcp_ports": {"ports": [{"port": p, "interface": "eth0"} for p in ports], "total": len(ports)},
            "listening_udp_ports": {"ports": [], "total": 0},
            "network_stats": {"bytes_in": 500, "bytes_out": bytes_out, "packets_in": 10, "packets_out": 12},
            "tcp_connections": {"established_connections": {
                "connections": [{"local_interface": "eth0", "local_port": 40000 + i, "remote_addr": d}
                                for i, d in enumerate(destinations)],
                "total": len(destinations)}},
        },
    }
    if custom is not None:
        body["custom_metrics"] = custom
    return json.dumps(body)


def publish(fleetward, thing, payload, version="311", client_id=None, topic=None, certificate_of=None, check=True):
    """mosquitto_pub with QoS 1: the real client's exit code says whether it was acknowledged."""
    return run("mosquitto_pub", "-V", version, *fleetward.device(certificate_of or thing), "-i", client_id or thing, "-q", "1",
               "-t", topic or f"$aws/things/{thing}/defender/metrics/json", "-m", payload, check=check, timeout=20)
