#!/usr/bin/env python3
"""A private PostgreSQL cluster for tests and development: loopback, a free port, TLS, passwords by SCRAM.

`Postgres` for pytest; `postgres.py serve` for test programs, which tell it by its standard input what to do with the
server (and end it by closing that); `postgres.py up|down` keeps one in build/postgres (./dev postgres). The server
ends with the process that started it, but for the one of `up`.
"""
import argparse
import ctypes
import json
import os
import pathlib
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from harness import free_ports, run, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = pathlib.Path("/usr/lib/postgresql/15/bin")
PR_SET_PDEATHSIG = 1

SETTINGS = """\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
ssl = on
ssl_cert_file = 'server.crt'
ssl_key_file = 'server.key'
password_encryption = 'scram-sha-256'
max_connections = 200
shared_buffers = 32MB
log_min_messages = warning
log_line_prefix = '%m [%p] %u@%d '
fsync = {durable}
full_page_writes = {durable}
"""
ADMISSION = """\
hostssl all all 127.0.0.1/32 scram-sha-256
"""
CERTIFICATE_EXTENSIONS = """\
subjectAltName=DNS:localhost,IP:127.0.0.1
basicConstraints=CA:FALSE
extendedKeyUsage=serverAuth
"""


class Postgres:
    """`durable`: the server syncs what it commits, for tests of what survives a crash of the machine's kind."""

    def __init__(self, folder=None, durable=False):
        self.is_temporary = folder is None
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="fleetward-postgres-"))
        self.data = self.folder / "data"
        self.ca = self.folder / "ca.crt"
        self.log_path = self.folder / "postgres.log"
        self.user, self.database, self.host = "fleetward", "postgres", "localhost"
        self.durable = durable
        self.port, self.password, self.process = 0, "", None
        self.databases = 0

    def start(self, detached=False):
        if not (self.data / "PG_VERSION").exists():
            self._make()
        self.port = self.port or free_ports(1)[0]
        log = open(self.log_path, "a")
        self.process = subprocess.Popen(
            [BIN / "postgres", "-D", self.data, "-p", str(self.port)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True, preexec_fn=as_postgres(None if detached else signal.SIGQUIT), cwd=self.folder)
        log.close()
        wait_for("PostgreSQL", self._answers, seconds=30)
        return self

    def stop(self):
        """In order: open transactions are ended, and what is committed is written out."""
        self._end(signal.SIGINT)

    def kill(self):
        """All of its processes at once, as when the machine goes."""
        self._end(signal.SIGKILL)

    def restart(self):
        self.stop()
        return self.start()

    def freeze(self):
        """It stands still: its connections live, and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self):
        self._signal(signal.SIGCONT)

    def close(self):
        """Stops it; a temporary folder goes."""
        if self.process is not None:
            self.stop()
        if self.is_temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def new_database(self, name=None, like="template0"):
        """`like`: another one that nobody is connected to, whose tables and rows it gets."""
        self.databases += 1
        name = name or f"test_{self.databases}"
        self.psql(f"CREATE DATABASE {name} TEMPLATE {like} ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'")
        return name

    def psql(self, sql, database=None, user=None, password=None, check=True):
        """The rows as text, fields between `|`; with check=False what became of it."""
        result = run(BIN / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", self._address(database, user), "-f", "-",
                     env={"PGPASSWORD": password or self.password}, stdin=sql, check=check)
        return result.stdout.strip() if check else result

    def denials(self, database):
        """What the server has refused to who had no right to it, in that database."""
        return [line for line in self.log_path.read_text().splitlines() if f"@{database} " in line and "permission denied" in line]

    def _address(self, database=None, user=None):
        return (f"host={self.host} hostaddr=127.0.0.1 port={self.port} dbname={database or self.database} user={user or self.user} "
                f"sslmode=verify-full sslrootcert={self.ca} connect_timeout=10")

    def _answers(self):
        assert self.process.poll() is None, f"PostgreSQL ended: {self.log_path.read_text()[-2000:]}"
        return self.psql("SELECT 1", check=False).returncode == 0

    def _signal(self, number, children=True):
        # Each backend leads a session of its own, so there is no group to tell.
        known = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids = [int(pid) for pid in known.read_text().split()] if children and self.process.poll() is None else []
        for pid in [self.process.pid, *pids]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue  # it has ended by itself meanwhile

    def _end(self, number):
        if self.process is None:
            return
        self._signal(number, children=number == signal.SIGKILL)
        if number != signal.SIGKILL:
            self.thaw()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait()
        self.process = None

    def _make(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.password = secrets.token_urlsafe(18)
        (self.folder / "password").write_text(self.password)
        (self.folder / "password").chmod(0o600)
        key, request, extensions = self.folder / "server.key", self.folder / "server.csr", self.folder / "server.ext"
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
        run("openssl", "req", "-x509", *new_key, "-keyout", self.folder / "ca.key", "-out", self.ca, "-subj", "/CN=PostgreSQL CA",
            "-days", "3650")
        run("openssl", "req", *new_key, "-keyout", key, "-out", request, "-subj", "/CN=localhost")
        extensions.write_text(CERTIFICATE_EXTENSIONS)
        run("openssl", "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.folder / "ca.key", "-days", "3650",
            "-extfile", extensions, "-out", self.folder / "server.crt")
        if os.getuid() == 0:
            postgres = pwd.getpwnam("postgres")
            for path in [self.folder, *self.folder.iterdir()]:
                os.chown(path, postgres.pw_uid, postgres.pw_gid)
        made = subprocess.run(
            [BIN / "initdb", "-D", self.data, "-U", self.user, "--pwfile", self.folder / "password", "--auth", "scram-sha-256",
             "--encoding", "UTF8", "--locale", "C", *([] if self.durable else ["--no-sync"])],
            preexec_fn=as_postgres(None), cwd=self.folder, capture_output=True, text=True, timeout=120)
        assert made.returncode == 0, f"initdb: {made.stdout}\n{made.stderr}"
        for name in ("server.crt", "server.key"):
            shutil.move(self.folder / name, self.data / name)
        (self.data / "server.key").chmod(0o600)
        (self.data / "postgresql.conf").write_text(SETTINGS.format(durable="on" if self.durable else "off"))
        (self.data / "pg_hba.conf").write_text(ADMISSION)


def as_postgres(signal_at_death):
    """What a child does before it becomes the server: that one refuses to be root, and ends with its parent."""
    account = pwd.getpwnam("postgres") if os.getuid() == 0 else None
    libc = ctypes.CDLL(None)

    def prepare():
        if account is not None:
            os.setgroups([])
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
        if signal_at_death is not None:
            libc.prctl(PR_SET_PDEATHSIG, int(signal_at_death), 0, 0, 0)

    return prepare


def serve():
    """One line of JSON a command: what a test program needs to know, or what went wrong."""
    with Postgres() as server:
        commands = {
            "stop": server.stop, "start": server.start, "kill": server.kill, "freeze": server.freeze, "thaw": server.thaw,
        }
        say({"port": server.port, "host": server.host, "user": server.user, "password": server.password, "ca": str(server.ca)})
        for line in sys.stdin:
            word, _, rest = line.strip().partition(" ")
            try:
                if word in ("sql", "file"):
                    database, _, sql = rest.partition(" ")
                    say({"rows": server.psql(sql if word == "sql" else pathlib.Path(sql).read_text(), database)})
                elif word == "database":
                    say({"database": server.new_database(like=rest or "template0")})
                else:
                    commands[word]()
                    say({})
            except (AssertionError, subprocess.SubprocessError, OSError) as error:
                say({"error": str(error)})


def say(what):
    print(json.dumps(what), flush=True)


STATE = ROOT / "build" / "postgres"


def up():
    state = STATE / "state.json"
    if state.exists():
        known = json.loads(state.read_text())
        if is_ours(known["pid"]):
            print(f"PostgreSQL is up: {known['address']}")
            return
    server = Postgres(STATE)
    if (STATE / "password").exists():
        server.password = (STATE / "password").read_text()
    server.start(detached=True)
    databases = server.psql("SELECT datname FROM pg_database").split()
    if "fleetward" not in databases:
        server.new_database("fleetward")
    address = f"{server.host}:{server.port}, database fleetward, user {server.user}, password in {STATE / 'password'}, CA {server.ca}"
    state.write_text(json.dumps({"pid": server.process.pid, "port": server.port, "address": address}))
    print(f"PostgreSQL is up: {address}")


def down(remove):
    state = STATE / "state.json"
    if state.exists():
        pid = json.loads(state.read_text())["pid"]
        if is_ours(pid):
            os.kill(pid, signal.SIGINT)
            deadline = time.monotonic() + 20
            while is_ours(pid) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert not is_ours(pid), f"process {pid} does not end"
        state.unlink()
    if remove:
        shutil.rmtree(STATE, ignore_errors=True)
    print("PostgreSQL is down" + ("; its data is gone" if remove else ""))


def is_ours(pid):
    """Numbers of processes are given away again."""
    try:
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return str(STATE / "data").encode() in words


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["up", "down", "serve"])
    parser.add_argument("--remove", action="store_true", help="with down: its data goes too")
    arguments = parser.parse_args()
    if arguments.command == "serve":
        serve()
    elif arguments.command == "up":
        up()
    else:
        down(arguments.remove)


if __name__ == "__main__":
    main()
