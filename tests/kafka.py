#!/usr/bin/env python3
"""A real Apache Kafka on loopback, for tests and development: one or three brokers that are controllers as well.

The jars come from Maven Central, by the versions in tests/kafka/, into build/kafka/VERSION. Ports are free ones, data lives in
a temporary folder, and the brokers go with the process that started them, however that ends.

    kafka.py up [--brokers N] [--version V]    start one that stays, and say where it is
    kafka.py down                              stop it
    kafka.py serve [...]                       one for as long as standard input is open: JSON of where it is on one line; then
                                               takes commands, one a line (kill N, start N, stop N), and answers "ok"
"""
import argparse
import ctypes
import fcntl
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
import base64

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness import ROOT, free_ports, run, wait_for  # noqa: E402

POMS = ROOT / "tests" / "kafka"
JARS = ROOT / "build" / "kafka"
VERSIONS = sorted(p.stem.removeprefix("pom-") for p in POMS.glob("pom-*.xml"))
NEWEST = VERSIONS[-1]
STARTED = "Kafka Server started"
JAVA = "/usr/lib/jvm/java-17-openjdk-amd64/bin/java"
SETTINGS = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
inter.broker.listener.name=INTERNAL
listeners={listeners}
advertised.listeners={advertised}
listener.security.protocol.map=INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,SECURE:SASL_SSL,FAR:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor={replicas}
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=100
log.initial.task.delay.ms=500
log.retention.check.interval.ms=200
log.cleaner.backoff.ms=200
num.network.threads=2
num.io.threads=4
num.partitions=1
"""
SECURE = """\
ssl.keystore.type=PEM
ssl.keystore.location={server}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
listener.name.tls.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required {plain_users};
listener.name.secure.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"""
AUTHORIZER = """\
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


def jars(version):
    """The class path of a version; fetched when it is not there."""
    pom = POMS / f"pom-{version}.xml"
    if not pom.exists():
        raise SystemExit(f"kafka: there is no version {version}; there are {', '.join(VERSIONS)}")
    return fetched(pom, JARS / version)


def fetched(pom, folder):
    """The class path of what a pom names, in that folder."""
    JARS.mkdir(parents=True, exist_ok=True)
    with open(JARS / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = folder / ".stamp"
        if not stamp.exists() or stamp.read_text() != pom.read_text():
            shutil.rmtree(folder, ignore_errors=True)
            run("mvn", "-B", "-q", "-f", pom, "dependency:copy-dependencies", f"-DoutputDirectory={folder}",
                "-DincludeScope=runtime", f"-Dmaven.repo.local={JARS / 'repository'}", timeout=540)
            stamp.write_text(pom.read_text())
    return f"{folder}/*"


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Kafka:
    """A cluster: start(), stop(), kill(i) and start_broker(i) of one broker; `bootstrap` is its list of addresses.

    `users` (name: password) brings a listener with TLS and SASL (`secure_bootstrap`) and one with client certificates
    (`tls_bootstrap`); `ca` is their authority, `client` a folder with cert.pem and key.pem. `authorizer`: who came over the plain
    listener may do everything, everybody else what acl() allows. `far`, another address of this machine: a plain listener there as
    well (`far_bootstrap`), whose path can be cut while the others' is whole; `far_port` is where the only broker is said to be
    there, if that is another than it listens at (`far_ports`).
    """

    def __init__(self, brokers=1, version=NEWEST, users=None, authorizer=False, folder=None, leave_running=False, settings=None,
                 far=None, far_port=None):
        self.far_port = far_port
        self.version, self.brokers, self.leave_running, self.far = version, brokers, leave_running, far
        self.users, self.settings = users or {}, settings or {}
        self.class_path = jars(version)
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="fleetward-kafka-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ports = [free_ports(5) for _ in range(brokers)]
        self.processes = [None] * brokers
        self.ca, self.client = self.folder / "ca.pem", self.folder / "client"
        if self.users:
            self._make_certificates()
        for i in range(brokers):
            self._configure(i, authorizer)
        self._format()

    @property
    def bootstrap(self):
        return ",".join(f"127.0.0.1:{p[0]}" for p in self.ports)

    @property
    def secure_bootstrap(self):
        return ",".join(f"localhost:{p[2]}" for p in self.ports)

    @property
    def tls_bootstrap(self):
        return ",".join(f"localhost:{p[3]}" for p in self.ports)

    @property
    def far_bootstrap(self):
        return ",".join(f"{self.far}:{self.far_port or port}" for port in self.far_ports)

    @property
    def far_ports(self):
        return [p[4] for p in self.ports]

    # ---- the processes

    def start(self):
        for i in range(self.brokers):
            self.spawn_broker(i)
        for i in range(self.brokers):
            self.wait_started(i)
        return self

    def start_broker(self, i):
        self.spawn_broker(i)
        self.wait_started(i)

    def spawn_broker(self, i):
        log = open(self._log(i), "w")
        self.processes[i] = subprocess.Popen(
            [JAVA, "-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", self.class_path,
             "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
             "-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=info",
             "kafka.Kafka", str(self._properties(i))],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=None if self.leave_running else die_with_parent)
        log.close()

    def wait_started(self, i):
        def started():
            if self.processes[i].poll() is not None:
                raise RuntimeError(f"Kafka ended with {self.processes[i].returncode}:\n{self._log(i).read_text()[-4000:]}")
            return STARTED in self._log(i).read_text()

        wait_for(f"broker {i + 1}", started, 120)

    def kill(self, i):
        """As kill -9 does."""
        self.processes[i].kill()
        self.processes[i].wait()

    def stop_broker(self, i, seconds=30):
        """In good order."""
        self.processes[i].terminate()
        self.processes[i].wait(timeout=seconds)

    def signal(self, i, number):
        self.processes[i].send_signal(number)

    def stop(self):
        for process in self.processes:
            if process is not None and process.poll() is None:
                process.kill()  # nobody needs the data any more
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()

    # ---- its tools

    def tool(self, name, *arguments, check=True, timeout=120):
        return run(*self.tool_command(name), *arguments, check=check, timeout=timeout)

    def tool_command(self, name):
        return [JAVA, "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", self.class_path, name]

    def acl_command(self):
        """What kafka-acls.sh runs."""
        return self.tool_command("kafka.admin.AclCommand" if self.version.startswith("3.") else "org.apache.kafka.tools.AclCommand")

    def acl(self, *arguments):
        """As kafka-acls.sh has them: --add --allow-principal User:x --operation Read --topic t."""
        return run(*self.acl_command(), "--bootstrap-server", self.bootstrap, *arguments, timeout=120)

    def denials(self):
        """What the authorizer has refused so far, a line each."""
        lines = [line for i in range(self.brokers) for line in self._log(i).read_text().splitlines()]
        return [line for line in lines if "is Denied" in line]

    # ---- setting up

    def _properties(self, i):
        return self.folder / f"broker-{i + 1}.properties"

    def _log(self, i):
        return self.folder / f"broker-{i + 1}.log"

    def _configure(self, i, authorizer):
        plain, controller, secure, tls, far = self.ports[i]
        addresses = [f"INTERNAL://127.0.0.1:{plain}"]
        if self.users:
            addresses += [f"SECURE://localhost:{secure}", f"TLS://localhost:{tls}"]
        told = list(addresses)
        if self.far:
            addresses.append(f"FAR://{self.far}:{far}")
            told.append(f"FAR://{self.far}:{self.far_port or far}")
        replicas = min(3, self.brokers)
        text = SETTINGS.format(
            node=i + 1, voters=",".join(f"{k + 1}@127.0.0.1:{p[1]}" for k, p in enumerate(self.ports)),
            listeners=",".join([*addresses, f"CONTROLLER://127.0.0.1:{controller}"]), advertised=",".join(told),
            data=self.folder / f"data-{i + 1}", replicas=replicas, in_sync=min(2, replicas))
        if self.users:
            known = " ".join(f'user_{name}="{password}"' for name, password in self.users.items())
            text += SECURE.format(server=self.folder / "server.pem", ca=self.ca, plain_users=known)
        if authorizer:
            text += AUTHORIZER
        text += "".join(f"{name}={value}\n" for name, value in self.settings.items())
        self._properties(i).write_text(text)
        self._properties(i).chmod(0o600)

    def _format(self):
        raw = uuid.uuid4().bytes
        raw = bytes([raw[0] & 0x7F]) + raw[1:]  # none that begins with "-": the tool would take it for an option
        cluster = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        scram = [argument for name, password in self.users.items() for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
                 for argument in ("--add-scram", f"{mechanism}=[name={name},password={password}]")]
        for i in range(self.brokers):
            self.tool("kafka.tools.StorageTool", "format", "-t", cluster, "-c", self._properties(i), *scram)

    def _make_certificates(self):
        self.client.mkdir()
        folder, new = self.folder, ("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        run(*new, "-x509", "-days", "30", "-subj", "/CN=Kafka test authority", "-keyout", folder / "ca.key", "-out", self.ca)
        for name, key, out in (("localhost", folder / "server.key", folder / "server.crt"),
                               ("client", self.client / "key.pem", self.client / "cert.pem")):
            request = folder / f"{name}.csr"
            run(*new, "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", request)
            run("openssl", "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", folder / "ca.key", "-CAcreateserial",
                "-copy_extensions", "copy", "-days", "30", "-out", out)
        (folder / "server.pem").write_text((folder / "server.key").read_text() + (folder / "server.crt").read_text())

    def where(self):
        out = {"bootstrap": self.bootstrap, "version": self.version, "folder": str(self.folder)}
        if self.users:
            out |= {"secure_bootstrap": self.secure_bootstrap, "tls_bootstrap": self.tls_bootstrap, "ca": str(self.ca),
                    "certificate": str(self.client / "cert.pem"), "key": str(self.client / "key.pem")}
        return out


# ---- the command line

STANDING = JARS / "up.json"


def up(args):
    if STANDING.exists():
        raise SystemExit(f"kafka: one is up already: {STANDING.read_text().strip()}; `./dev kafka down` stops it")
    kafka = Kafka(args.brokers, args.version, leave_running=True)
    try:
        kafka.start()
    except BaseException:
        kafka.stop()
        raise
    STANDING.write_text(json.dumps(kafka.where() | {"pids": [p.pid for p in kafka.processes]}))
    print(f"Apache Kafka {args.version} is up: {kafka.bootstrap}")


def down(_):
    if not STANDING.exists():
        print("no Kafka is up")
        return
    standing = json.loads(STANDING.read_text())
    for pid in standing["pids"]:
        command = pathlib.Path(f"/proc/{pid}/cmdline")
        if command.exists() and standing["folder"].encode() in command.read_bytes():  # not somebody who got its number
            os.kill(pid, signal.SIGTERM)
            wait_for(f"the end of {pid}", lambda: not command.exists() or not command.read_bytes(), 30)
    shutil.rmtree(standing["folder"], ignore_errors=True)
    STANDING.unlink()
    print("Kafka is down")


def serve(args):
    users = dict(u.split(":", 1) for u in args.user)
    with Kafka(args.brokers, args.version, users=users, authorizer=args.authorizer) as kafka:
        print(json.dumps(kafka.where()), flush=True)
        commands = {"kill": kafka.kill, "stop": kafka.stop_broker, "start": kafka.start_broker, "spawn": kafka.spawn_broker}
        for line in sys.stdin:
            word, number = line.split()
            commands[word](int(number))
            print("ok", flush=True)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["up", "down", "serve"])
    parser.add_argument("--brokers", type=int, default=1, choices=[1, 3])
    parser.add_argument("--version", default=NEWEST, choices=VERSIONS)
    parser.add_argument("--user", action="append", default=[], metavar="NAME:PASSWORD", help="serve: who may come over TLS and SASL")
    parser.add_argument("--authorizer", action="store_true", help="serve: with access control")
    args = parser.parse_args()
    {"up": up, "down": down, "serve": serve}[args.command](args)


if __name__ == "__main__":
    main()
