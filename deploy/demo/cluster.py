"""The demo's distributed shape: every role its own process, over a Kafka and a PostgreSQL of the demo's own.

Each process has a data folder with only those secrets that its role needs, and who has the store a login of its own.
"""
import secrets
import shlex
import shutil
import sys

from installation import ROOT, Installation, wait_until_ready, write_secret, write_settings

sys.path.insert(0, str(ROOT / "tests"))

from distributed import FILES_OF_ROLE, ROLES_WITH_STORE  # noqa: E402
from harness import free_ports  # noqa: E402
from kafka import Kafka  # noqa: E402
from postgres import Postgres  # noqa: E402

DATABASE = "fleetward"
PARTITIONS = 4


class Role:
    """One `fleetward run ROLE`: its folder, settings and password."""

    def __init__(self, place, name, ops_port):
        self.name, self.ops_port = name, ops_port
        self.folder = place.folder / "roles" / name
        self.data, self.config, self.log = self.folder / "data", self.folder / "fleetward.yaml", self.folder / "server.log"
        self.url = f"http://127.0.0.1:{self.ops_port}"
        self.command = [place.fleetward, "run", name, "--config", self.config]

    def make(self, place):
        self.data.mkdir(parents=True, mode=0o700)
        for name in FILES_OF_ROLE[self.name]:
            target = self.data / name
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            (shutil.copytree if (place.data / name).is_dir() else shutil.copy2)(place.data / name, target)
        settings = place.settings()
        settings["fleetward"] |= {"data_dir": str(self.data), "instance": f"{self.name}-1"}
        settings["operations"]["port"] = self.ops_port
        if self.name in ROLES_WITH_STORE:
            password = secrets.token_urlsafe(18)
            write_secret(self.folder / "store-password", password)
            place.postgres.psql(f"ALTER ROLE fleetward_{self.name} PASSWORD '{password}'", DATABASE)
            settings["store"] |= {"user": f"fleetward_{self.name}", "password_file": str(self.folder / "store-password")}
        write_settings(self.config, settings)


class Distributed(Installation):
    shape = "every role its own process, over Kafka and PostgreSQL"

    def __init__(self, build, folder):
        super().__init__(build, folder)
        names = [name for name in FILES_OF_ROLE if name != "collector"]  # that one would have no sources
        self.roles = {name: Role(self, name, port) for name, port in zip(names, free_ports(len(names)))}
        self.metrics = self.roles["gateway"].url + "/metrics"
        self.kafka = self.postgres = None

    def settings(self):
        return super().settings() | {
            "fleetward": {"data_dir": str(self.data), "partitions": PARTITIONS},
            "bus": {"backend": "kafka", "bootstrap": self.kafka.bootstrap, "security": "plain", "replication": 1},
            "store": {"backend": "postgres", "host": self.postgres.host, "port": self.postgres.port, "database": DATABASE,
                      "user": self.postgres.user, "password_file": str(self.postgres.folder / "password"),
                      "ca_file": str(self.postgres.ca)},
        }

    # ---- its processes

    def start(self, processes):
        self.processes = processes
        self.start_postgres()
        self.start_kafka()
        write_settings(self.config, self.settings())
        self.init()  # topics and tables too, under the owner's login
        self.postgres.psql((ROOT / "deploy" / "postgres" / "roles.sql").read_text(), DATABASE)
        for role in self.roles.values():
            role.make(self)
            self.processes.start(role.name, role.command, role.log)
        for role in self.roles.values():
            wait_until_ready(f"the {role.name}", f"{role.url}/readyz", self.check)

    def start_postgres(self):
        self.postgres = Postgres(self.folder / "postgres")
        try:
            self.postgres.start(detached=True)
        finally:
            if self.postgres.process is not None:  # noted even when it did not come up: then it is stopped with the others
                self.processes.adopt("postgres", self.postgres.process.pid)
        self.postgres.new_database(DATABASE)

    def start_kafka(self):
        self.kafka = Kafka(folder=self.folder / "kafka", leave_running=True)
        self.kafka.spawn_broker(0)
        self.processes.adopt("kafka", self.kafka.processes[0].pid)
        self.kafka.wait_started(0)

    def check(self):
        for role in self.roles.values():
            if role.name in self.processes.children:
                self.processes.check(role.name, role.log)

    def by(self, role):
        return f"   [{role}, process {self.processes.pid(role)}]"

    # ---- for its clients

    def variables(self):
        out = self.variables_of_clients() | {
            "KAFKA_BOOTSTRAP": self.kafka.bootstrap,
            "PGHOST": self.postgres.host, "PGPORT": self.postgres.port, "PGDATABASE": DATABASE, "PGUSER": self.postgres.user,
            "PGPASSWORD": self.postgres.password, "PGSSLMODE": "verify-full", "PGSSLROOTCERT": self.postgres.ca,
        }
        for name, role in self.roles.items():
            out |= {f"PID_{name.upper()}": self.processes.pid(name), f"METRICS_URL_{name.upper()}": f"{role.url}/metrics",
                    f"FLEETWARD_START_{name.upper()}": shlex.join(str(word) for word in role.command)}
        return out

    def more_to_look_at(self):
        return [
            "psql -c 'SELECT thing, level, state FROM actions'",
            "",
            "# Each role has PID_…, METRICS_URL_… and FLEETWARD_START_…",
            "kill -9 \"$PID_DETECTOR\"; $FLEETWARD_START_DETECTOR >detector.log 2>&1 &",
            "curl -s \"$METRICS_URL_DETECTOR\" | grep '^fleetward_detector_'",
        ]
