"""Eclipse Paho for Python as a client of the suite, in either of its callback styles. What it reads and prints: peers.py."""
import argparse
import json
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def number(code):
    """A reason code, as the two styles and the two protocol versions have it."""
    return getattr(code, "value", code)


class Client:
    def __init__(self, args):
        self.version = mqtt.MQTTv5 if args.version == "5" else mqtt.MQTTv311
        style = mqtt.CallbackAPIVersion.VERSION1 if args.style == "1" else mqtt.CallbackAPIVersion.VERSION2
        clean = {} if args.version == "5" else {"clean_session": not args.keep_session}
        self.client = mqtt.Client(style, client_id=args.id, protocol=self.version, reconnect_on_failure=not args.once, **clean)
        self.client.tls_set(args.ca, args.cert, args.key)
        self.client.reconnect_delay_set(1, 1)
        if args.will:
            self.client.will_set(args.will, "gone", qos=1)
        self.client.on_message = lambda client, data, m: tell("message", topic=m.topic, payload=m.payload.decode(), qos=m.qos)
        self.client.on_log = self.on_log
        if args.style == "2":
            self.client.on_connect = lambda client, data, flags, code, properties: self.connected(code, flags.session_present)
            self.client.on_disconnect = lambda client, data, flags, code, properties: tell("lost", code=number(code))
            self.client.on_subscribe = lambda client, data, mid, codes, properties: self.subscribed(codes)
            self.client.on_publish = lambda client, data, mid, code, properties: tell("sent", code=number(code))
        elif args.version == "5":
            self.client.on_connect = lambda client, data, flags, code, properties: self.connected(code, flags["session present"])
            self.client.on_disconnect = lambda client, data, code, properties: tell("lost", code=number(code))
            self.client.on_subscribe = lambda client, data, mid, codes, properties: self.subscribed(codes)
            self.client.on_publish = lambda client, data, mid: tell("sent", code=None)
        else:
            self.client.on_connect = lambda client, data, flags, code: self.connected(code, flags["session present"])
            self.client.on_disconnect = lambda client, data, code: tell("lost", code=code)
            self.client.on_subscribe = lambda client, data, mid, granted: self.subscribed(granted)
            self.client.on_publish = lambda client, data, mid: tell("sent", code=None)
        more = {}
        if args.version == "5":
            more["clean_start"] = not args.keep_session
            more["properties"] = Properties(PacketTypes.CONNECT)
            more["properties"].SessionExpiryInterval = 300 if args.keep_session else 0
        self.client.connect(args.host, args.port, keepalive=args.keep_alive, **more)

    @staticmethod
    def on_log(client, data, level, text):
        if text == "Received PINGRESP":
            tell("pong")

    @staticmethod
    def connected(code, session):
        tell("refused", code=number(code)) if number(code) else tell("connected", session=bool(session))

    @staticmethod
    def subscribed(codes):
        tell("subscribed", codes=[number(c) for c in codes])

    def obey(self, line):
        word, *rest = line.rstrip("\n").split("\t")
        if word == "subscribe":
            self.client.subscribe(rest[0], int(rest[1]))
        elif word == "publish":
            self.client.publish(rest[0], rest[2], int(rest[1]))


def main():
    parser = argparse.ArgumentParser()
    for name in ("host", "ca", "cert", "key", "id", "version", "style"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--keep-alive", type=int, required=True)
    parser.add_argument("--will")
    parser.add_argument("--once", action="store_true", help="does not connect again by itself")
    parser.add_argument("--keep-session", action="store_true")
    client = Client(parser.parse_args())
    client.client.loop_start()
    for line in sys.stdin:
        client.obey(line)
    client.client.disconnect()
    client.client.loop_stop()


main()
