"""AWS IoT Device SDK v2 for Python as a client of the suite (its MQTT 3.1.1 and its MQTT 5 client). What it reads and
prints: peers.py."""
import argparse
import json
import re
import sys
import threading

from awscrt import io, mqtt, mqtt5
from awsiot import mqtt5_client_builder, mqtt_connection_builder


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def told(future, event, fields, failed=lambda error: {"code": getattr(error, "name", str(error))}):
    """Prints `event` when the future is done, with what `fields` makes of its result, or `failed` of its error."""
    def done(f):
        error = f.exception()
        tell(event, **(fields(f.result()) if error is None else failed(error)))
    future.add_done_callback(done)


class Three:
    """MQTT 3.1.1."""

    def __init__(self, args):
        self.once = args.once
        will = {"will": mqtt.Will(args.will, mqtt.QoS.AT_LEAST_ONCE, b"gone", False)} if args.will else {}
        self.connection = mqtt_connection_builder.mtls_from_path(
            cert_filepath=args.cert, pri_key_filepath=args.key, ca_filepath=args.ca, endpoint=args.host, port=args.port,
            client_id=args.id, clean_session=not args.keep_session, keep_alive_secs=args.keep_alive, ping_timeout_ms=args.keep_alive * 600,
            reconnect_min_timeout_secs=1, reconnect_max_timeout_secs=1, on_connection_interrupted=self.interrupted,
            on_connection_resumed=self.resumed, on_connection_failure=self.failed, **will)
        self.connection.on_message(lambda topic, payload, dup, qos, retain, **_:
                                   tell("message", topic=topic, payload=payload.decode(), qos=int(qos)))
        told(self.connection.connect(), "connected", lambda r: {"session": r["session_present"]})

    def interrupted(self, connection, error, **_):
        tell("lost", code=None)
        if self.once:
            connection.disconnect()

    @staticmethod
    def resumed(connection, return_code, session_present, **_):
        tell("connected", session=session_present) if return_code == 0 else tell("refused", code=int(return_code))

    @staticmethod
    def failed(connection, callback_data, **_):
        tell("failed", why=str(callback_data.error))

    def subscribe(self, topic, qos):
        future, _ = self.connection.subscribe(topic, mqtt.QoS(qos))
        # The SDK shows the failure code of a SUBACK as this exception.
        told(future, "subscribed", lambda r: {"codes": [int(r["qos"])]},
             lambda error: {"codes": [128] if isinstance(error, mqtt.SubscribeError) else [str(error)]})

    def publish(self, topic, qos, payload):
        future, _ = self.connection.publish(topic, payload, mqtt.QoS(qos))
        told(future, "sent", lambda r: {"code": 0})

    def leave(self):
        self.connection.disconnect().result(10)


class Five:
    """MQTT 5."""

    def __init__(self, args):
        self.once = args.once
        self.stopped = threading.Event()
        keep = mqtt5.ClientSessionBehaviorType.REJOIN_ALWAYS if args.keep_session else mqtt5.ClientSessionBehaviorType.CLEAN
        options = mqtt5.ConnectPacket(
            client_id=args.id, keep_alive_interval_sec=args.keep_alive,
            session_expiry_interval_sec=300 if args.keep_session else 0,
            will=mqtt5.PublishPacket(topic=args.will, payload=b"gone", qos=mqtt5.QoS.AT_LEAST_ONCE) if args.will else None)
        self.client = mqtt5_client_builder.mtls_from_path(
            cert_filepath=args.cert, pri_key_filepath=args.key, ca_filepath=args.ca, endpoint=args.host, port=args.port,
            connect_options=options, session_behavior=keep, ping_timeout_ms=args.keep_alive * 600,
            min_reconnect_delay_ms=500, max_reconnect_delay_ms=1000,
            on_lifecycle_connection_success=lambda d: tell("connected", session=d.connack_packet.session_present),
            on_lifecycle_connection_failure=self.failed, on_lifecycle_disconnection=self.lost,
            on_lifecycle_stopped=lambda d: self.stopped.set(), on_publish_received=self.received)
        self.client.start()

    @staticmethod
    def failed(data):
        if data.connack_packet is not None:
            tell("refused", code=int(data.connack_packet.reason_code))
        else:
            tell("failed", why=str(data.exception))

    def lost(self, data):
        packet = data.disconnect_packet
        if not self.stopped.is_set():
            tell("lost", code=None if packet is None else int(packet.reason_code))
        if self.once:
            self.client.stop()

    @staticmethod
    def received(data):
        p = data.publish_packet
        tell("message", topic=p.topic, payload=p.payload.decode(), qos=int(p.qos))

    def subscribe(self, topic, qos):
        future = self.client.subscribe(mqtt5.SubscribePacket([mqtt5.Subscription(topic, mqtt5.QoS(qos))]))
        told(future, "subscribed", lambda suback: {"codes": [int(c) for c in suback.reason_codes]})

    def publish(self, topic, qos, payload):
        future = self.client.publish(mqtt5.PublishPacket(topic=topic, payload=payload.encode(), qos=mqtt5.QoS(qos)))
        told(future, "sent", lambda r: {"code": int(r.puback.reason_code) if r.puback and r.puback.reason_code else 0})

    def leave(self):
        self.client.stop()
        self.stopped.wait(10)


def watch_trace(path):
    """The SDK tells nobody of its pings, and in MQTT 3.1.1 not of a refused reconnect: its own log does."""
    refused = re.compile(r"invalid connect return code (\d+)")
    with open(path) as trace:
        rest = ""
        while True:
            rest += trace.readline()
            if not rest.endswith("\n"):
                threading.Event().wait(0.05)
                continue
            if "PINGRESP" in rest:
                tell("pong")
            elif code := refused.search(rest):
                tell("refused", code=int(code[1]))
            rest = ""


def main():
    parser = argparse.ArgumentParser()
    for name in ("host", "ca", "cert", "key", "id", "version", "trace"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--keep-alive", type=int, required=True)
    parser.add_argument("--will")
    parser.add_argument("--once", action="store_true", help="does not connect again by itself")
    parser.add_argument("--keep-session", action="store_true")
    args = parser.parse_args()
    open(args.trace, "w").close()
    io.init_logging(io.LogLevel.Trace, args.trace)
    threading.Thread(target=watch_trace, args=(args.trace,), daemon=True).start()
    client = Five(args) if args.version == "5" else Three(args)
    for line in sys.stdin:
        word, topic, qos, *payload = line.rstrip("\n").split("\t")
        client.subscribe(topic, int(qos)) if word == "subscribe" else client.publish(topic, int(qos), payload[0])
    client.leave()


main()
