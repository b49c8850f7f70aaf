"""docs/distributed.md, followed by the letter: its settings, its commands in their order, the files that it hands to each role."""
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import textwrap
import urllib.error
import urllib.request

import pytest
import yaml

import kafka as kafka_cluster
from distributed import FILES_OF_ROLE, ROLES_WITH_STORE
from harness import FLEETWARD, ROOT, free_ports, report, run, wait_for

PAGE = (ROOT / "docs" / "distributed.md").read_text()
ROLES = [role for role in FILES_OF_ROLE if role != "collector"]


def blocks(language):
    return [textwrap.dedent(b) for b in re.findall(rf"^ *```{language}\n(.*?)^ *```$", PAGE, re.DOTALL | re.MULTILINE)]


def files_of_role():
    """The page's table: which files of the administrator's folder a role gets."""
    table = PAGE.split("| role | files |")[1].split("\n\n")[0]
    out = {}
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        for role in re.findall(r"`(\w+)`", cells[0]) if len(cells) == 2 else []:
            out[role] = [name.rstrip("/") for name in re.findall(r"`([^`]+)`", cells[1])]
    return out


def pages():
    names = run("git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "*.md").stdout.split()
    return [ROOT / name for name in names]


def test_commands_of_fleetward_that_are_documented_are_there():
    """In every page: after a backtick or at the start of a line of a block."""
    lines = [line[2:].split("  ")[0].split() for line in run(FLEETWARD, "help").stdout.splitlines() if line.startswith("  ")]
    known = {" ".join(word for word in words if re.fullmatch("[a-z-]+", word)) for words in lines}
    first = {name.split()[0] for name in known}
    assert {"init", "run", "doctor", "things enrol"} <= known
    for page in pages():
        for said in re.findall(r"(?:`|^ *)fleetward ([a-z][a-z -]*)", page.read_text(), re.MULTILINE):
            words = said.split()
            assert words[0] in first, f"{page}: fleetward {said}"
            if words[0] not in known and len(words) > 1:
                assert " ".join(words[:2]) in known, f"{page}: fleetward {said}"


class Operator:
    """Who follows the page: a working folder with what it presumes."""

    def __init__(self, folder, kafka, postgres):
        self.folder, self.kafka, self.postgres = folder, kafka, postgres
        self.database = postgres.new_database()
        self.processes = {}
        self.ports = dict(zip(["gateway", "api", "pki", *(f"ops-{r}" for r in ROLES)], free_ports(3 + len(ROLES))))
        (folder / "bin").mkdir()
        (folder / "bin" / "fleetward").symlink_to(FLEETWARD)
        (folder / "deploy").symlink_to(ROOT / "deploy")
        self.write("bin/kafka-acls.sh", f'#!/bin/sh\nexec {shlex.join(kafka.acl_command())} "$@"\n', 0o700)
        self.write("admin.properties", self.client_properties("fleetward-admin"))
        self.admin = yaml.safe_load(blocks("yaml")[0])
        self.here(self.admin, "admin", self.folder / "data", postgres.user)
        self.write("admin.yaml", yaml.safe_dump(self.admin))
        self.env = dict(os.environ, PATH=f"{folder / 'bin'}:{os.environ['PATH']}", KAFKA=kafka.secure_bootstrap,
                        POSTGRES=postgres._address(self.database), PGPASSWORD=postgres.password)

    def write(self, name, text, mode=0o600):
        path = self.folder / name
        path.touch(mode=mode)
        path.write_text(text)
        return str(path)

    def here(self, settings, name, data, login):
        """The page's settings with this machine's addresses and files in place of the example's."""
        settings["fleetward"]["data_dir"] = str(data)
        settings["bus"] |= {"bootstrap": self.kafka.secure_bootstrap, "ca_file": str(self.kafka.ca), "replication": 1,
                            "sasl_mechanism": "PLAIN", "user": f"fleetward-{name}",  # Kafka 4, of which the page says so
                            "password_file": self.write(f"{name}.kafka", self.kafka.users[f"fleetward-{name}"])}
        settings["store"] |= {"host": "localhost", "port": self.postgres.port, "database": self.database, "user": login,
                              "ca_file": str(self.postgres.ca),
                              "password_file": self.write(f"{name}.postgres", self.postgres.password)}

    def client_properties(self, user):
        login = "org.apache.kafka.common.security.scram.ScramLoginModule required"
        return (f"security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-256\nssl.truststore.type=PEM\n"
                f"ssl.truststore.location={self.kafka.ca}\n"
                f'sasl.jaas.config={login} username="{user}" password="{self.kafka.users[user]}";\n')

    def make_role(self, role, names):
        """Step 4, and the settings of the role."""
        data = self.folder / role
        data.mkdir(mode=0o700)
        for name in names:
            origin, target = self.folder / "data" / name, data / name
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            (shutil.copytree if origin.is_dir() else shutil.copy2)(origin, target)
        settings = yaml.safe_load(blocks("yaml")[0])
        self.here(settings, role, data, f"fleetward_{role}")
        if role not in ROLES_WITH_STORE:
            del settings["store"]
        settings["fleetward"]["instance"] = f"{role}-1"
        settings["operations"] = {"address": "127.0.0.1", "port": self.ports[f"ops-{role}"]}
        settings["gateway"] = {"address": "127.0.0.1", "port": self.ports["gateway"], "instance": "gateway-1"}
        settings["api"] = {"address": "127.0.0.1", "port": self.ports["api"]}
        settings["pki"] = {"address": "127.0.0.1", "port": self.ports["pki"], "public_url": f"http://127.0.0.1:{self.ports['pki']}"}
        self.write(f"{role}.yaml", yaml.safe_dump(settings))

    def follow(self, command):
        """A line of the page. What runs until it is stopped is left running."""
        words = shlex.split(command)
        if words[:2] == ["fleetward", "run"]:
            log = open(self.folder / f"{words[2]}.log", "w")
            self.processes[words[2]] = subprocess.Popen(words, cwd=self.folder, env=self.env, stdout=log, stderr=subprocess.STDOUT)
            log.close()
            return
        done = subprocess.run(["bash", "-ec", command], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

    def is_ready(self, role):
        process = self.processes[role]
        assert process.poll() is None, (self.folder / f"{role}.log").read_text()[-3000:]
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.ports[f'ops-{role}']}/readyz", timeout=5).status == 200
        except (OSError, urllib.error.HTTPError):
            return False

    def stop(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        return {role: process.wait(timeout=60) for role, process in self.processes.items()}


@pytest.fixture
def operator(tmp_path, postgres):
    users = {f"fleetward-{name}": secrets.token_urlsafe(18) for name in ["admin", *FILES_OF_ROLE]}
    settings = {"super.users": "User:ANONYMOUS;User:fleetward-admin"}
    with kafka_cluster.Kafka(version=kafka_cluster.NEWEST, users=users, authorizer=True, settings=settings) as cluster:
        operator = Operator(tmp_path, cluster, postgres)
        try:
            yield operator
        finally:
            for process in operator.processes.values():
                if process.poll() is None:
                    process.kill()
                    process.wait()


def test_the_page_hands_out_what_the_other_tests_do():
    told = {role: sorted(names) for role, names in files_of_role().items()}
    assert told == {role: sorted(names) for role, names in FILES_OF_ROLE.items()}


def test_who_follows_the_page_has_an_installation(operator):
    make, grant, start, ask = blocks("sh")
    for command in [*make.splitlines(), *grant.splitlines()]:
        operator.follow(command)
    for role in ROLES_WITH_STORE:
        operator.postgres.psql(f"ALTER ROLE fleetward_{role} PASSWORD '{operator.postgres.password}'")
    for role in ROLES:
        operator.make_role(role, files_of_role()[role])
    for command in start.splitlines():
        operator.follow(command)
    assert sorted(operator.processes) == sorted(ROLES)
    for role in ROLES:
        wait_for(f"readiness of the {role}", lambda role=role: operator.is_ready(role), 90)
    for command in ask.splitlines():
        operator.follow(command)
    client = {"FLEETWARD_API": f"https://127.0.0.1:{operator.ports['api']}", "FLEETWARD_CA_FILE": operator.folder / "data/pki/root.crt",
              "FLEETWARD_TOKEN": (operator.folder / "data/admin-token").read_text().strip()}
    run(FLEETWARD, "things", "enrol", "cam-1", "--group", "cams", "--out", operator.folder / "devices",
        env={name: str(value) for name, value in client.items()})
    device = operator.folder / "devices" / "cam-1"

    def is_acknowledged():
        return run("mosquitto_pub", "-h", "localhost", "-p", str(operator.ports["gateway"]), "--cafile", client["FLEETWARD_CA_FILE"],
                   "--cert", device / "cert.pem", "--key", device / "key.pem", "-i", "cam-1", "-q", "1",
                   "-t", "$aws/things/cam-1/defender/metrics/json", "-m", report(1), check=False).returncode == 0

    wait_for("a report", is_acknowledged)
    assert set(operator.stop().values()) == {0}
    assert operator.kafka.denials() == []
