#!/usr/bin/env python3
"""The demo: a whole Fleetward installation on this machine, a simulated fleet, and one device that gets compromised.

./dev demo                  shows it and ends by itself
./dev demo --distributed    the same with every role its own process, over a Kafka and a PostgreSQL
./dev demo --keep           leaves it running and prints how to look around
./dev demo --down           stops what --keep left running
"""
import argparse
import pathlib
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from installation import Installation, wait_until_ready  # noqa: E402
from processes import Processes, servers_on  # noqa: E402
from story import Story  # noqa: E402

ATTACKED = "cam-018"
ATTACK_AFTER_SECONDS = 12
REPORT_SECONDS = 2


class Stopped(Exception):
    """Somebody pressed Ctrl-C, or asked the demo to end by SIGTERM."""


def start_alertmanager(place, processes):
    config = place.folder / "alertmanager.yml"
    config.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    processes.start("alertmanager", [
        "prometheus-alertmanager", f"--config.file={config}", f"--storage.path={place.folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{place.pager_port}", "--cluster.listen-address="], place.alertmanager_log)


def start_fleet(place, processes, env, options):
    command = [place.fleetsim, "--interval", REPORT_SECONDS, "--attack", ATTACKED, "--attack-after", ATTACK_AFTER_SECONDS,
               "--acked", place.acked, "--backoff-max", 5, "--quiet", "--seed", options.seed]
    processes.start("fleetsim", command, place.folder / "fleetsim.log", stdout=place.events, env=env)


def how_to_look_around(place, story):
    more = "".join(f"  {line}\n" for line in place.more_to_look_at())
    story.heading("It goes on running. To look around:")
    print(f"""
  source {place.env_file}

  fleetward things list                                  # the fleet
  fleetward why {ATTACKED}                                  # what happened to that device, in words
  fleetward alarms list
  fleetward actions list
  fleetward incidents list
  aws iot list-active-violations
  aws iot list-things --max-results 3
  curl --cacert "$CA_FILE" -H "Authorization: Bearer $FLEETWARD_TOKEN" "$FLEETWARD_API/v1/actions"
  curl -s "$METRICS_URL" | grep '^fleetward_'
  curl -s "$CRL_URL" | openssl crl -inform DER -noout -text
  openssl ocsp -issuer "$ISSUER_FILE" -cert "$DEVICES_DIR/{ATTACKED}/cert.pem" -url "$OCSP_URL" -CAfile "$CA_FILE"

  # The same infection by hand, from a device that the simulator does not use: it is cut off, and a page goes out.
  fleetward things enrol mine --group cameras --out "$DEVICES_DIR"
  mosquitto_pub -h "$MQTT_HOST" -p "$MQTT_PORT" --cafile "$CA_FILE" --cert "$DEVICES_DIR/mine/cert.pem" \\
    --key "$DEVICES_DIR/mine/key.pem" -i mine -q 1 -t '$aws/things/mine/defender/metrics/json' \\
    -m '{{"hed":{{"rid":1,"v":"1.0"}},"met":{{"tp":{{"pts":[{{"pt":48101}}],"t":1}}}}}}'
  fleetward why mine
  amtool --alertmanager.url="$ALERTMANAGER_URL" alert query
{more}
  ./dev demo --down                                      # stops it
""")


def show(place, processes, options):
    story = Story(place, ATTACKED, ATTACK_AFTER_SECONDS)
    story.opening(options.devices)
    start_alertmanager(place, processes)
    place.start(processes)
    wait_until_ready("Alertmanager", f"{place.alertmanager}/-/ready",
                     lambda: processes.check("alertmanager", place.alertmanager_log))
    place.write_env_file()
    env = place.environment()
    story.use(env, processes)
    story.server_is_up()
    story.enrol(options.devices)
    story.apply_profile(HERE / "cameras.yaml")
    start_fleet(place, processes, env, options)
    story.fleet_started()
    story.watch()
    return story


def adopt_restarted(processes, folder):
    known = [pid for _, pid in processes.alive()]
    for pid in servers_on(folder):
        if pid not in known:
            processes.adopt("fleetward", pid)


def down(processes):
    alive = processes.alive()
    if not alive:
        print("demo: nothing is running")
    killed = processes.stop_all()
    if alive:
        print("demo: stopped " + ", ".join(name for name, _ in alive))
    if killed:
        print("demo: did not end in time and were killed: " + ", ".join(killed), file=sys.stderr)
    return 1 if killed else 0


def shape_of(options):
    if not options.distributed:
        return Installation
    from cluster import Distributed  # it needs what the embedded demo does without
    return Distributed


def stop_on_signal(number, frame):
    del number, frame
    raise Stopped


def parse():
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=ROOT / "build" / "dev", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", default=ROOT / "build" / "demo", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--distributed", action="store_true", help="every role its own process, over a Kafka and a PostgreSQL")
    parser.add_argument("--keep", action="store_true", help="leave it running and print how to look around")
    parser.add_argument("--down", action="store_true", help="stop what --keep left running")
    parser.add_argument("--devices", type=int, default=200, metavar="N", help="size of the fleet (default: 200)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="the fleet's behaviour depends on it (default: 1)")
    options = parser.parse_args()
    if not 20 <= options.devices <= 5000:
        parser.error("--devices must be from 20 to 5000")
    return options


def main():
    options = parse()
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    processes = Processes(folder / "processes.json")
    adopt_restarted(processes, folder)
    if options.down:
        return down(processes)
    if processes.alive():
        print("demo: one is running already; `./dev demo --down` stops it", file=sys.stderr)
        return 1
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGHUP: its terminal was closed
        signal.signal(number, stop_on_signal)
    place = None
    code = 1
    keep = False
    try:
        place = shape_of(options)(options.build, folder)
        place.prepare()
        story = show(place, processes, options)
        code = 0
        keep = options.keep
        if keep:
            how_to_look_around(place, story)
        else:
            story.ending()
    except Stopped:
        print("\ndemo: stopping", flush=True)
        code = 0
    except (RuntimeError, AssertionError, OSError, subprocess.SubprocessError) as error:
        print(f"demo: {error}\ndemo: logs are in {folder}", file=sys.stderr)
    finally:
        # From here on nothing may keep it from cleaning up, not even a second Ctrl-C.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if not keep:
            killed = processes.stop_all()
            if killed:
                print("demo: did not end in time and were killed: " + ", ".join(killed), file=sys.stderr)
                code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
