"""What the demo starts, and how all of it goes away again: processes in sessions of their own, and the note of them
that `--down` reads."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

STOP_SECONDS = 15
# What else than SIGTERM asks a process to end: by that one PostgreSQL would wait for its last client.
STOP_SIGNALS = {"postgres": signal.SIGINT}


def free_ports(count):
    """Ports that were free just now, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def start_time(pid):
    """When the kernel says the process began: with the pid, its identity. None when there is no such process."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def signal_group(pid, number):
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass  # it ended by itself meanwhile


def servers_on(folder):
    """The pids of servers that run with settings in the demo's folder, whoever started them: after a crash of ours, for one."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it ended meanwhile
        if "run" in words and "--config" in words[:-1] and words[words.index("--config") + 1].startswith(f"{folder}/"):
            found.append(int(process.name))
    return found


class Processes:
    """Processes of one demo, noted in a file so that a later `--down` finds them."""

    def __init__(self, note):
        self.note = pathlib.Path(note)
        self.running = []  # name, pid, start time; in order of start
        self.children = {}
        if self.note.exists():
            self.running = [tuple(entry) for entry in json.loads(self.note.read_text())]

    def alive(self):
        return [(name, pid) for name, pid, began in self.running if began is not None and start_time(pid) == began]

    def adopt(self, name, pid):
        """Takes in a process that was not started here, so that it is stopped with the others."""
        self.running.append((name, pid, start_time(pid)))
        self.write_note()

    def start(self, name, command, log, stdout=None, env=None):
        """`stdout`: a file for standard output alone; otherwise both go to `log`."""
        with open(log, "w") as errors:
            out = open(stdout, "w") if stdout else errors
            try:
                child = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=errors,
                                         env=env, start_new_session=True)
            finally:
                if stdout:
                    out.close()
        self.children[name] = child
        self.running.append((name, child.pid, start_time(child.pid)))
        self.write_note()
        return child

    def write_note(self):
        self.note.write_text(json.dumps(self.running))

    def pid(self, name):
        return self.children[name].pid

    def check(self, name, log):
        """Raises with the end of its log when a process that should run has ended."""
        code = self.children[name].poll()
        if code is not None:
            text = pathlib.Path(log).read_text(errors="replace")[-3000:]
            raise RuntimeError(f"{name} ended by itself with {code}:\n{text}")

    def stop_one(self, name):
        for entry_name, pid in self.alive():
            if entry_name == name:
                self._stop(name, pid)
                return

    def stop_all(self):
        """The newest first; what does not end in time is killed. Says what had to be killed."""
        killed = []
        for name, pid in reversed(self.alive()):
            if not self._stop(name, pid):
                killed.append(name)
        self.running = []
        self.note.unlink(missing_ok=True)
        return killed

    def _stop(self, name, pid):
        child = next((c for c in self.children.values() if c.pid == pid), None)
        began = start_time(pid)

        def gone():
            if child is not None:
                return child.poll() is not None
            return start_time(pid) != began

        number = STOP_SIGNALS.get(name, signal.SIGTERM)
        if os.getpgid(pid) == pid:
            signal_group(pid, number)
        else:  # one that was adopted may share its group with others
            os.kill(pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        while not gone() and time.monotonic() < deadline:
            time.sleep(0.02)
        if gone():
            return True
        os.kill(pid, signal.SIGKILL)
        if child is not None:
            child.wait()
        return False
