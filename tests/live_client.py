"""mosquitto_pub or mosquitto_sub of a device, live, with the lines in which it says each packet that it sends and gets."""
import subprocess

from harness import wait_for


class LiveClient:
    """With `program` mosquitto_pub each line of standard input is published: say()."""

    def __init__(self, server, thing, version, topic, program="mosquitto_pub", *more):
        self.path = server.folder / f"{thing}-{program}-{version}.log"
        # Line by line, or what it says would stay in its buffer while it lives.
        command = ["stdbuf", "-oL", "-eL", program, "-V", version, "-d", *server.device(thing), "-i", thing, "-q", "1", "-t", topic,
                   *more]
        with open(self.path, "w") as log:
            self.process = subprocess.Popen(command + (["-l"] if program == "mosquitto_pub" else []), stdin=subprocess.PIPE,
                                            stdout=log, stderr=subprocess.STDOUT, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    @property
    def told(self):
        return self.path.read_text()

    def wait_for(self, what, words, times=1):
        def said():
            assert self.told.count(words) >= times, f"the client says\n{self.told}"
            return True

        wait_for(what, said)
