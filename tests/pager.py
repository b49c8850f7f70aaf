"""Debian's prometheus-alertmanager, looked into by amtool, and what it really hands to the person on call."""
import calendar
import http.server
import json
import pathlib
import subprocess
import threading
import time
import urllib.request

from harness import free_ports, run, wait_for


class Phone:
    """A webhook: each notification, as it rings."""

    def __init__(self):
        self.rung = []
        rung = self.rung

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                rung.extend(body["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Alertmanager:
    # Each alert rings for itself and at once, when it begins and when it has ended; the same is not said again for hours.
    CONFIG = """\
route: {{receiver: phone, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 12h}}
receivers: [{{name: phone, webhook_configs: [{{url: '{url}', send_resolved: true}}]}}]
"""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.phone = Phone()
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        config = self.folder / "alertmanager.yml"
        config.write_text(self.CONFIG.format(url=self.phone.url))
        self.log = open(self.folder / "alertmanager.log", "w")
        self.process = subprocess.Popen(
            ["prometheus-alertmanager", f"--config.file={config}", f"--storage.path={self.folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address="],
            stdout=self.log, stderr=subprocess.STDOUT)
        wait_for("Alertmanager", self._is_ready)

    def _is_ready(self):
        assert self.process.poll() is None, (self.folder / "alertmanager.log").read_text()
        try:
            return urllib.request.urlopen(f"{self.url}/-/ready", timeout=2).status == 200
        except OSError:
            return False

    def alerts(self):
        """Those that have not ended."""
        out = run("amtool", f"--alertmanager.url={self.url}", "alert", "query", "-o", "json").stdout
        return json.loads(out)

    def alerts_of(self, incident):
        return [a for a in self.alerts() if a["labels"]["incident"] == incident]

    def rung(self, incident):
        """What the person on call was told of the incident: firing, resolved, in that order."""
        return [a["status"] for a in self.phone.rung if a["labels"]["incident"] == incident]

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=20)
        self.log.close()
        self.phone.stop()


def seconds_left(alert):
    """Until the alert would end by itself, if it were not sent again."""
    ends = calendar.timegm(time.strptime(alert["endsAt"][:19], "%Y-%m-%dT%H:%M:%S"))
    return ends - time.time()
