"""An installation whose roles are processes of their own, over a Kafka and a PostgreSQL that the caller started.

Each process has its own data folder with only those secrets in it that its role needs, as it would on a cluster.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import urllib.error
import urllib.request

import harness

# What of the folder that `fleetward init` makes goes to whom.
AUTHORITY = ["pki/root.crt", "pki/issuing.crt"]
SERVER = ["pki/server.crt", "pki/server.key"]
SIGNERS = "signing/signers.json"  # who judges signed records: gateways, and whoever has the store, whose relay may run there
FILES_OF_ROLE = {
    "pki": ["pki", SIGNERS, "signing/pki.key"],
    "historian": [SIGNERS],
    "notifier": [SIGNERS],
    "responder": [*AUTHORITY, SIGNERS, "signing/responder.key"],
    "detector": [],
    "cohorts": [],
    "api": [*AUTHORITY, *SERVER, "admin-token", "admin-aws.json", SIGNERS, "signing/api.key"],
    "gateway": [*AUTHORITY, *SERVER, SIGNERS],
    "collector": [SIGNERS],  # runs only where it has sources: `roles` must name it
}


# Who has the store: each by a login of its own, deploy/postgres/roles.sql.
ROLES_WITH_STORE = ("api", "collector", "historian", "notifier", "pki", "responder")


class RoleProcess:
    """One `fleetward run ROLE` with its own data folder and health listener."""

    def __init__(self, owner, role, instance, settings):
        self.role, self.instance = role, instance
        self.folder = owner.folder / instance
        self.data = self.folder / "data"
        self.data.mkdir(parents=True, mode=0o700)
        self.ops_port, = harness.free_ports(1)
        self.process, self.starts, self.log_path = None, 0, None
        for name in FILES_OF_ROLE[role]:
            self.take(owner.data, name)
        settings["fleetward"] = {**settings["fleetward"], "data_dir": str(self.data), "instance": instance}
        settings["operations"] = {"address": "127.0.0.1", "port": self.ops_port}
        self.config = self.folder / "fleetward.yaml"
        self.config.write_text(json.dumps(settings))

    def take(self, origin, name):
        target = self.data / name
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        (shutil.copytree if (origin / name).is_dir() else shutil.copy2)(origin / name, target)

    def spawn(self, faults="", prefix=()):
        """`prefix` is a command to run it by (a network namespace, another clock)."""
        self.starts += 1
        self.log_path = self.folder / f"server-{self.starts}.log"
        env = dict(os.environ, **({"FLEETWARD_FAULT": faults} if faults else {}))
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen([*prefix, str(harness.FLEETWARD), "run", self.role, "--config", str(self.config)],
                                            stdout=log, stderr=subprocess.STDOUT, env=env)
        return self

    def log(self):
        return self.log_path.read_text()

    def is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.instance} ended with {self.process.returncode}:\n{self.log()[-4000:]}")
        return self.readiness()[0] == 200

    def readiness(self):
        """(status, text) of /readyz; status None while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ops_port}/readyz", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return None, str(error)

    def wait_ready(self, seconds=60):
        try:
            harness.wait_for(f"readiness of {self.instance}", self.is_ready, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.readiness()}\n{self.log()[-4000:]}") from None

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, seconds=40):
        if not self.is_running():
            return None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=seconds)

    def metrics(self):
        return harness.metrics_at(f"http://127.0.0.1:{self.ops_port}/metrics")


class Distributed(harness.Fleetward):
    """Every role its own process; `roles` says how many of each (1 where it is not named).

    A Kafka with users has one of the name fleetward-ROLE for each role, and fleetward-admin under which `init` makes the topics:
    then each process logs in as itself, and may do what deploy/kafka/acls.sh says.
    """

    def __init__(self, folder, kafka, postgres, roles=None, partitions=4, **arguments):
        self.kafka = kafka
        self.partitions = partitions
        self.database = postgres.new_database()
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.password_file = folder / "store-password"
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(postgres.password)
        self.postgres = postgres
        self.has_grants = False
        super().__init__(folder, **arguments)
        self.roles = {}
        for role in FILES_OF_ROLE:
            for number in range(1, (roles or {}).get(role, 0 if role == "collector" else 1) + 1):
                self.add(role, number)

    def write_config(self, mode, settings):
        backends = {
            "fleetward": {"partitions": self.partitions},
            "bus": {"backend": "kafka", "replication": 1, **self.bus_login(self.folder, "admin")},
            "store": {"backend": "postgres", "host": "localhost", "port": self.postgres.port, "database": self.database,
                      "user": self.postgres.user, "password_file": str(self.password_file), "ca_file": str(self.postgres.ca)},
        }
        for section, values in settings.items():
            backends.setdefault(section, {}).update(values)
        super().write_config(mode, backends)

    def bus_login(self, folder, name):
        """Settings by which a process is User:fleetward-NAME at the brokers, where those have users."""
        if not self.kafka.users:
            return {"bootstrap": self.kafka.bootstrap, "security": "plain"}
        user, password_file = f"fleetward-{name}", pathlib.Path(folder) / "bus-password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.kafka.users[user])
        # Debian's librdkafka cannot do SCRAM with Kafka 4.
        mechanism = "SCRAM-SHA-512" if self.kafka.version.startswith("3.") else "PLAIN"
        return {"bootstrap": self.kafka.secure_bootstrap, "security": "sasl_tls", "ca_file": str(self.kafka.ca),
                "sasl_mechanism": mechanism, "user": user, "password_file": str(password_file)}

    def add(self, role, number):
        """One more process of a role, not started: `gateway-2`, …"""
        settings = json.loads(self.config.read_text())
        instance = f"{role}-{number}"
        if role == "gateway":
            settings["gateway"]["instance"] = instance
            if number > 1:
                settings["gateway"]["port"], = harness.free_ports(1)
        (self.folder / instance).mkdir(mode=0o700)
        settings["bus"].update(self.bus_login(self.folder / instance, role))
        process = RoleProcess(self, role, instance, settings)
        process.port = settings["gateway"]["port"] if role == "gateway" else None
        if self.has_grants:
            self.log_in_as_itself(process)
        self.roles[instance] = process
        return process

    def grant(self):
        """`init` has made topics and tables, as owner and administrator; here each role gets its own login, and what that may."""
        self.postgres.psql((harness.ROOT / "deploy" / "postgres" / "roles.sql").read_text(), self.database)
        for role in ROLES_WITH_STORE:
            self.postgres.psql(f"ALTER ROLE fleetward_{role} PASSWORD '{self.postgres.password}'")
        for process in self.roles.values():
            self.log_in_as_itself(process)
        if self.kafka.users:
            harness.run(harness.ROOT / "deploy" / "kafka" / "acls.sh", "--bootstrap-server", self.kafka.bootstrap, "--kafka-acls",
                        " ".join(self.kafka.acl_command()), timeout=300)
        self.has_grants = True

    @staticmethod
    def log_in_as_itself(process):
        if process.role in ROLES_WITH_STORE:
            settings = json.loads(process.config.read_text())
            settings["store"]["user"] = f"fleetward_{process.role}"
            process.config.write_text(json.dumps(settings))

    def start(self):
        if not self.has_grants:
            self.grant()
        for process in self.roles.values():
            if not process.is_running():
                process.spawn()
        for process in self.roles.values():
            process.wait_ready()
        return self

    def stop(self):
        """Exit codes by instance; the gateways first, so that what is under way comes to its end."""
        return {name: process.stop() for name, process in reversed(self.roles.items())}

    def kill(self):
        for process in self.roles.values():
            if process.is_running():
                process.kill()

    @contextlib.contextmanager
    def running(self):
        """From start() on; at the end all processes are still there, and each ends in good order."""
        try:
            yield self.start()
            assert [name for name, process in self.roles.items() if not process.is_running()] == []
            codes = self.stop()
            assert set(codes.values()) == {0}, f"{codes}\n{self.logs()}"
        finally:
            self.kill()

    def metrics(self):
        """Summed over all processes that run."""
        sums = {}
        for process in self.roles.values():
            if process.is_running():
                for name, value in process.metrics().items():
                    sums[name] = sums.get(name, 0) + value
        return sums

    def logs(self):
        return "\n".join(f"--- {name}\n{p.log()[-3000:]}" for name, p in self.roles.items() if p.log_path)
