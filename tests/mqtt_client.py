"""A device's client for what the command-line clients cannot show: it keeps its TLS session for resumption, says what became of the
handshake when there is no CONNACK, and both publishes and listens on one connection. As much of MQTT as that needs."""
import socket
import ssl
import struct
from typing import NamedTuple

CONNACK, PUBLISH, PUBACK, SUBACK, DISCONNECT = 0x20, 0x30, 0x40, 0x90, 0xE0
SECONDS = 10  # that a read waits


class Connected(NamedTuple):
    handshake: bool        # it was completed, as far as the client can see
    resumed: bool | None   # that handshake took up an earlier session
    code: int | None       # of the CONNACK; None: there was none


def text(value):
    return struct.pack(">H", len(value)) + value.encode()


def packet(first_byte, body):
    length, n = b"", len(body)
    while True:
        n, low = n >> 7, n & 0x7F
        length += bytes([low | (0x80 if n else 0)])
        if not n:
            return bytes([first_byte]) + length + body


class MqttClient:
    """One device; `version` "311" or "5"."""

    def __init__(self, server, thing, version="5", tls=None):
        folder = server.devices / thing
        self.port, self.thing, self.is_v5, self.session, self.socket = server.mqtt_port, thing, version == "5", None, None
        self.context = ssl.create_default_context(cafile=str(server.ca))
        self.context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        if tls is not None:
            self.context.minimum_version = self.context.maximum_version = tls
        self.properties = b"\x00" if self.is_v5 else b""

    def connect(self, client_id=None):
        """TLS, with the session of the last connection if there was one, and CONNECT."""
        self.close()
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)
        resumed = None
        try:
            self.socket = self.context.wrap_socket(raw, server_hostname="localhost", session=self.session)
            resumed = self.socket.session_reused
            head = text("MQTT") + bytes([5 if self.is_v5 else 4, 0x02]) + struct.pack(">H", 60)
            self.socket.sendall(packet(0x10, head + self.properties + text(client_id or self.thing)))
            kind, body = self.read()
            self.session = self.socket.session  # in TLS 1.3 the ticket has come with the data
            return Connected(True, resumed, body[1] if kind == CONNACK else None)
        except TimeoutError:
            raise
        except OSError:  # a TLS alert, a close, a reset
            self.close()
            raw.close()
            return Connected(resumed is not None, resumed, None)

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.socket = None

    def read(self):
        """The next packet: (first byte without flags, body). A close is a ConnectionError."""
        first, length, shift = self._exactly(1)[0], 0, 0
        while True:
            byte = self._exactly(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return first & 0xF0, self._exactly(length)

    def expect(self, kind):
        """The next packet's body; it has to be of that kind."""
        got, body = self.read()
        assert got == kind, f"{self.thing} got a packet 0x{got:02X} {body!r} and not 0x{kind:02X}"
        return body

    def subscribe(self, topic):
        self.socket.sendall(packet(0x82, struct.pack(">H", 1) + self.properties + text(topic) + b"\x00"))
        assert self.expect(SUBACK)[-1] < 0x80, f"{self.thing} may not subscribe to {topic}"

    def publish(self, topic, payload, packet_id):
        """At QoS 1; what comes back is the caller's to read."""
        self.socket.sendall(packet(0x32, text(topic) + struct.pack(">H", packet_id) + self.properties + payload.encode()))

    def text_of_message(self, body):
        """Of a PUBLISH at QoS 0."""
        at = 2 + struct.unpack(">H", body[:2])[0]
        if self.is_v5:
            at += 1 + body[at]  # its properties, which are short
        return body[at:].decode()

    def _exactly(self, count):
        out = b""
        while len(out) < count:
            some = self.socket.recv(count - len(out))
            if not some:
                raise ConnectionError("closed by the gateway")
            out += some
        return out
