"""What the demo tells, in plain words with times: each line is something that was really seen, by the device, by a client of
the API, by Alertmanager or by openssl."""
import json
import pathlib
import ssl
import subprocess
import sys
import textwrap
import time
import urllib.parse
import urllib.request

STAGE_SECONDS = 30
CLIENT_SECONDS = 60
LINE_COLUMNS = 110


class Story:
    def __init__(self, place, attacked, attack_after):
        self.place, self.attacked, self.attack_after = place, attacked, attack_after
        self.began = time.time()
        self.env = self.processes = self.tls = None
        self.terminal = sys.stdout.isatty()
        self.events_read = 0
        self.events = []

    # ---- telling

    def heading(self, text):
        print(f"\n\033[1m{text}\033[0m" if self.terminal else f"\n{text}", flush=True)

    def say(self, text, at=None, by=None):
        """One line with its time since the start; `at`: seconds since the epoch, when it was not just now; `by`: the role
        that did it."""
        seconds = max(0.0, (at or time.time()) - self.began)
        print(f"{int(seconds) // 60:02}:{seconds % 60:05.2f}  {text}{self.place.by(by) if by else ''}", flush=True)

    def more(self, text):
        for line in textwrap.wrap(text, LINE_COLUMNS, break_on_hyphens=False, break_long_words=False) or [""]:
            print(f"          {line}", flush=True)

    def command(self, words):
        """Shows a command as one would type it."""
        self.say("$ " + words)

    # ---- looking

    def use(self, env, processes):
        self.env, self.processes = env, processes
        self.tls = ssl.create_default_context(cafile=env["FLEETWARD_CA_FILE"])

    def get(self, path):
        request = urllib.request.Request(self.place.api + path, headers={"Authorization": "Bearer " + self.env["FLEETWARD_TOKEN"]})
        with urllib.request.urlopen(request, timeout=10, context=self.tls) as answer:
            return json.load(answer)

    def wait(self, what, look, seconds=STAGE_SECONDS):
        """The first true answer of look(). A demo that waits for nothing ends with what was missing."""
        deadline = time.monotonic() + seconds
        while True:
            value = look()
            if value:
                return value
            self.place.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"waited {seconds} s for {what}, and it did not come")
            time.sleep(0.05)

    def client(self, *words, check=True, show=True):
        """The fleetward command line, as a person would use it."""
        result = subprocess.run([self.place.fleetward, *words], env=self.env, capture_output=True, text=True, timeout=CLIENT_SECONDS)
        if check and result.returncode != 0:
            raise RuntimeError(f"fleetward {' '.join(words)}: exit {result.returncode}\n{result.stdout}{result.stderr}")
        return result.stdout if show else None

    def device_event(self, name, **wanted):
        """What the simulated device itself saw."""
        if self.place.events.exists():
            lines = self.place.events.read_text().splitlines(keepends=True)
            for line in lines[self.events_read:]:
                if not line.endswith("\n"):
                    break
                self.events.append(json.loads(line))
                self.events_read += 1
        for event in self.events:
            if event["event"] == name and all(event.get(k) == v for k, v in wanted.items()):
                return event
        return None

    def acknowledged(self):
        try:
            return self.place.acked.read_bytes().count(b"\n")
        except OSError:
            return 0

    def action(self, level, *states):
        actions = self.get("/v1/actions?thing=" + urllib.parse.quote(self.attacked))["actions"]
        found = next((a for a in actions if a["level"] == level), None)
        if found and found["state"] == "failed":
            raise RuntimeError(f"the action failed: {json.dumps(found, indent=2)}")
        return found if found and found["state"] in states else None

    # ---- the chapters

    def opening(self, devices):
        self.heading(f"Fleetward: {devices} cameras, and one of them is about to be compromised")
        print("Times are minutes and seconds since the start.\n", flush=True)
        self.say(f"starting Fleetward ({self.place.shape}), its own certificate authority, and Alertmanager")

    def server_is_up(self):
        self.say("ready")
        self.more(f"devices  mqtts://localhost:{self.place.mqtt_port}  (MQTT 3.1.1 and 5, a client certificate each)")
        self.more(f"control  {self.place.api}  (AWS IoT Device Defender's API, and /v1)")
        self.more(f"pages    {self.place.alertmanager}")

    def enrol(self, devices):
        self.say(f"enrolling {devices} devices: a key of its own and a certificate for each")
        command = [self.place.fleetward, "things", "enrol", "--count", str(devices), "--prefix", "cam-", "--group", "cameras",
                   "--out", str(self.place.devices)]
        # Its progress bar goes straight to the terminal.
        code = subprocess.run(command, env=self.env, stdout=subprocess.DEVNULL, timeout=CLIENT_SECONDS).returncode
        if code != 0:
            raise RuntimeError(f"enrolment failed with exit code {code}")
        self.say(f"{len(list(self.place.devices.iterdir()))} devices enrolled")

    def apply_profile(self, path):
        self.client("metrics", "custom", "cpu-usage", "--type", "number")
        self.client("profiles", "apply", str(path))
        self.say(f"the profile says what is normal for a camera ({path.name}); the playbook, what happens to one that is not")

    def fleet_started(self):
        self.attack_at = time.time() + self.attack_after
        self.wait("the first acknowledged reports", lambda: self.acknowledged() > 0)
        self.say("the fleet is on line and reports over mutual TLS")
        told = time.monotonic()
        while not self.device_event("infected"):
            if time.time() > self.attack_at + STAGE_SECONDS:
                raise RuntimeError("the simulator infected nobody")
            self.place.check()
            self.processes.check("fleetsim", self.place.folder / "fleetsim.log")
            if time.monotonic() - told >= 4:
                told = time.monotonic()
                self.say(f"{self.acknowledged()} reports acknowledged, each on disk before it was; no alarm")
            time.sleep(0.05)

    def watch(self):
        self.heading("The attack")
        event = self.device_event("infected")
        self.say(f"{self.attacked} is infected with something like Mirai. Only its traffic changes:", event["time"] / 1000)
        self.more("it scans telnet on addresses it never spoke to, listens on port 48101, and sends a burst")
        self.tell_alarm()
        isolation = self.tell_isolation()
        self.tell_page()
        self.heading("The person on call decides")
        revocation = self.tell_revocation()
        self.heading("Is it really off? Asked from outside")
        self.tell_openssl()
        self.heading("The stopwatch")
        self.tell_stopwatch(self.get("/v1/actions/" + isolation["id"]), "isolated")
        self.tell_stopwatch(self.get("/v1/actions/" + revocation["id"]), "revoked")
        self.say(f"meanwhile the other devices went on: {self.acknowledged()} reports acknowledged in all")

    def tell_alarm(self):
        alarms = self.wait("the alarm", lambda: self.get("/v1/violations?thing=" + self.attacked)["violations"])
        for alarm in alarms:
            behavior = alarm["behavior"]["name"] if isinstance(alarm["behavior"], dict) else alarm["behavior"]
            self.say(f"ALARM  {self.attacked}: {behavior}", alarm["violationEventTime"] / 1000, by="detector")
            self.more(f"expected  {alarm['expected']}")
            self.more(f"seen      {alarm['seen']}")

    def tell_isolation(self):
        action = self.wait("the isolation", lambda: self.action("isolate", "executing", "verifying", "in_effect"))
        self.say(f"ACTION isolate {self.attacked}, by the playbook, within the governor's caps", self.mark(action, "decided"),
                 by="responder")
        cut = self.wait("the cut", lambda: self.device_event("disconnected", thing=self.attacked))
        code = f" (MQTT reason 0x{cut['reason_code']:02X})" if cut.get("reason_code") else ""
        self.say(f"       its session is cut{code}: seen by the device", cut["time"] / 1000, by="gateway")
        action = self.wait("the proof", lambda: self.action("isolate", "in_effect"))
        self.say("       verified: a probe, connecting as that device, was refused at the public listener, and no session is left",
                 self.mark(action, "verified"), by="responder")
        refused = self.wait("the refused reconnect", lambda: self.device_event("refused", thing=self.attacked))
        code = f" (code 0x{refused['code']:02X})" if refused.get("code") else ""
        self.say(f"       it comes back by itself and is refused{code}: seen by the device", refused["time"] / 1000, by="gateway")
        return action

    def mark(self, action, name):
        value = action.get("stopwatch", {}).get(name)
        return value / 1000 if value else None

    def tell_page(self):
        def alerts():
            with urllib.request.urlopen(self.place.alertmanager + "/api/v2/alerts", timeout=5) as answer:
                return json.load(answer)
        alert = self.wait("the page", alerts)[0]
        self.say("PAGE   delivered to Alertmanager: " + alert["annotations"].get("summary", alert["labels"].get("alertname", "")),
                 by="notifier")
        for line in alert["annotations"].get("description", "").splitlines()[:6]:
            self.more(line)

    def tell_revocation(self):
        waiting = self.wait("the revocation that waits for a person", lambda: self.action("revoke", "awaiting_approval"))
        self.say(f"revoking {self.attacked}'s certificate is for good, so it waits for a person")
        self.command(f"fleetward actions approve {waiting['id']} --reason \"Mirai confirmed\"")
        self.client("actions", "approve", waiting["id"], "--reason", "Mirai confirmed")
        action = self.wait("the revocation", lambda: self.action("revoke", "in_effect"))
        self.say("       revoked, and verified in the CRL and the OCSP answers that were really served", self.mark(action, "verified"),
                 by="responder")
        return action

    def openssl(self, *words, stdin=None):
        return subprocess.run(["openssl", *map(str, words)], capture_output=True, input=stdin, timeout=CLIENT_SECONDS)

    def tell_openssl(self):
        certificate = self.place.devices / self.attacked / "cert.pem"
        serial = self.openssl("x509", "-in", certificate, "-noout", "-serial").stdout.decode().strip().partition("=")[2]
        with urllib.request.urlopen(self.place.crl_url, timeout=5) as answer:
            crl = answer.read()
        pathlib.Path(self.place.folder / "issuing.crl").write_bytes(crl)
        listed = self.openssl("crl", "-inform", "DER", "-noout", "-text", stdin=crl).stdout.decode()
        if serial.upper() not in listed.upper():
            raise RuntimeError(f"serial {serial} is not in the CRL")
        self.command(f"curl -s {self.place.crl_url} | openssl crl -inform DER -noout -text")
        self.more(f"Serial Number: {serial}")
        self.tell_ocsp(certificate, "revoked")
        innocent = next(d for d in sorted(self.place.devices.iterdir()) if d.name != self.attacked)
        self.tell_ocsp(innocent / "cert.pem", "good")

    def tell_ocsp(self, certificate, expected):
        answer = self.openssl("ocsp", "-issuer", self.place.issuer, "-cert", certificate, "-url", self.place.ocsp_url, "-CAfile",
                              self.place.ca)
        lines = (answer.stdout + answer.stderr).decode().splitlines()
        verdict = next((line.rpartition(": ")[2] for line in lines if line.startswith(f"{certificate}: ")), None)
        if verdict != expected or "Response verify OK" not in lines:
            raise RuntimeError("OCSP answered:\n" + "\n".join(lines))
        self.command(f"openssl ocsp -issuer issuing.crt -cert {certificate.parent.name}/cert.pem -url {self.place.ocsp_url} -CAfile root.crt")
        self.more(f"{certificate.parent.name}/cert.pem: {verdict}   (Response verify OK)")

    def tell_stopwatch(self, action, what):
        watch = action["stopwatch"]
        marks = [m for m in ("received", "detected", "decided", "enforced", "verified") if watch.get(m)]
        first = watch[marks[0]]
        steps = "  ->  ".join(m if m == marks[0] else f"{m} +{watch[m] - first} ms" for m in marks)
        self.say(f"{self.attacked} {what}:  {steps}", watch[marks[-1]] / 1000)

    def ending(self):
        self.heading("Done. Everything that was started is being stopped.")
