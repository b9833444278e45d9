"""Decodes the packets that clients of MQTT 3.1.1 and 5 send. Does no I/O.

Of the properties of MQTT 5, the two that limit what may be sent are decoded. Those for
a message's receivers, such as its response topic, are kept encoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from publisher.embedded_broker import packets
from publisher.embedded_broker.packets import V5, V311, BadPacket, PublishedMessage

_RECEIVE_MAXIMUM, _PACKET_MAXIMUM = 0x21, 0x27
# width of each property by identifier; 0: text or bytes, -1: two texts, -2: varint
_WIDTHS: Final = {
    0x01: 1, 0x02: 4, 0x03: 0, 0x08: 0, 0x09: 0, 0x0B: -2, 0x11: 4, 0x12: 0, 0x13: 2, 0x15: 0, 0x16: 0, 0x17: 1,
    0x18: 4, 0x19: 1, 0x1A: 0, 0x1C: 0, 0x1F: 0, 0x21: 2, 0x22: 2, 0x23: 2, 0x24: 1, 0x25: 1, 0x26: -1, 0x27: 4,
    0x28: 1, 0x29: 1, 0x2A: 1,
}  # fmt: skip
_BYTES: Final = frozenset({0x09, 0x16})
# forwarded: format, expiry, content type, response topic, correlation, user's own
_FOR_RECEIVERS: Final = frozenset({0x01, 0x02, 0x03, 0x08, 0x09, 0x26})


class Framer:
    """Splits a stream of bytes into packets of at most `packet_max_bytes`."""

    def __init__(self, packet_max_bytes: int) -> None:
        self._buffer = bytearray()
        self._packet_max_bytes = packet_max_bytes

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (first byte, body) of each complete packet. Raises BadPacket."""
        self._buffer += data
        start = 0
        try:
            while (found := self._frame(start)) is not None:
                body_at, end = found
                first, start = self._buffer[start], end
                yield first, bytes(memoryview(self._buffer)[body_at:end])
        finally:
            del self._buffer[:start]

    def _frame(self, start: int) -> tuple[int, int] | None:
        length = 0
        for place in range(4):
            at = start + 1 + place
            if at >= len(self._buffer):
                return None
            length |= (self._buffer[at] & 0x7F) << (7 * place)
            if not self._buffer[at] & 0x80:
                if length > self._packet_max_bytes:
                    raise BadPacket(f"a packet of {length} bytes", packets.TOO_LARGE)
                return (at + 1, at + 1 + length) if at + 1 + length <= len(self._buffer) else None
        raise BadPacket("a length of more than four bytes")


class _Body:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0
        self.for_receivers = b""  # of the last properties read

    def take(self, size: int) -> bytes:
        taken = self._body[self._at : self._at + size]
        if len(taken) != size:
            raise BadPacket("a packet that ends too early")
        self._at += size
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def binary(self) -> bytes:
        return self.take(self.number(2))

    def text(self) -> str:
        try:
            text = self.binary().decode()
        except UnicodeDecodeError:
            raise BadPacket("a text that is not UTF-8") from None
        if "\0" in text:
            raise BadPacket("a text with a zero in it")
        return text

    def varint(self) -> int:
        value = 0
        for place in range(4):
            byte = self.number(1)
            value |= (byte & 0x7F) << (7 * place)
            if not byte & 0x80:
                return value
        raise BadPacket("a number of more than four bytes")

    def properties(self, version: int) -> dict[int, int]:
        """Numeric properties by identifier; others are skipped. MQTT 3.1.1 has none."""
        found: dict[int, int] = {}
        self.for_receivers = b""
        if version != V5:
            return found
        size = self.varint()
        end = self._at + size
        while self._at < end:
            begin, identifier = self._at, self.varint()
            match _WIDTHS.get(identifier):
                case None:
                    raise BadPacket(f"an unknown property {identifier}")
                case 0 if identifier in _BYTES:
                    self.binary()
                case 0:
                    self.text()  # forwarded: receivers expect valid UTF-8
                case -1:
                    self.text(), self.text()
                case -2:
                    found[identifier] = self.varint()
                case width:
                    found[identifier] = self.number(width)
            if identifier in _FOR_RECEIVERS:
                self.for_receivers += self._body[begin : self._at]
        if self._at != end:
            raise BadPacket("properties longer than they say")
        return found

    @property
    def left(self) -> int:
        return len(self._body) - self._at

    def rest(self) -> bytes:
        return self.take(self.left)


def decode(first: int, body: bytes, version: int) -> packets.Packet:
    reader = _Body(body)
    match first >> 4:
        case packets.CONNECT:
            return _connect(reader)
        case packets.PUBLISH:
            return _publish(first, reader, version)
        case packets.PUBACK:
            return packets.Puback(reader.number(2))
        case packets.SUBSCRIBE:
            return _subscribe(reader, version)
        case packets.UNSUBSCRIBE:
            return _unsubscribe(reader, version)
        case packets.PINGREQ:
            return packets.Pingreq()
        case packets.DISCONNECT:
            return packets.Disconnect(reader.number(1) if version == V5 and reader.left else 0)
        case kind:
            raise BadPacket(f"a packet of kind {kind}", packets.PROTOCOL_ERROR)


def _connect(reader: _Body) -> packets.Connect:
    name, version, flags, keepalive_s = reader.text(), reader.number(1), reader.number(1), reader.number(2)
    if name != "MQTT" or version not in (V311, V5):
        return packets.Connect(version if name == "MQTT" else 3)
    limits = reader.properties(version)
    client_id = reader.text()
    will = None
    if flags & 0x04:
        reader.properties(version)
        for_receivers = reader.for_receivers
        topic, payload = reader.text(), reader.binary()
        will = PublishedMessage(topic, payload, (flags >> 3) & 0x03, bool(flags & 0x20), for_receivers)
    user = reader.text() if flags & 0x80 else None
    password = reader.binary() if flags & 0x40 else None
    receive_max, packet_max_bytes = limits.get(_RECEIVE_MAXIMUM, 65_535), limits.get(_PACKET_MAXIMUM, 268_435_460)
    return packets.Connect(version, client_id, keepalive_s, user, password, will, receive_max, packet_max_bytes)


def _publish(first: int, reader: _Body, version: int) -> packets.Publish:
    qos = (first >> 1) & 0x03
    if qos > 1:
        raise BadPacket("a publish at QoS 2", packets.QOS_UNSUPPORTED)
    topic = reader.text()
    packet_id = reader.number(2) if qos else 0
    reader.properties(version)
    if not topic or "+" in topic or "#" in topic:
        raise BadPacket(f"a publish to {topic!r}", packets.BAD_TOPIC)
    return packets.Publish(
        PublishedMessage(topic, reader.rest(), qos, bool(first & 0x01), reader.for_receivers), packet_id
    )


def _subscribe(reader: _Body, version: int) -> packets.Subscribe:
    packet_id = reader.number(2)
    reader.properties(version)
    filters = []
    while reader.left:
        pattern, options = reader.text(), reader.number(1)
        if version != V5:
            options &= 0x03  # the other options came with MQTT 5
        no_local, as_published = bool(options & 0x04), bool(options & 0x08)
        filters.append(packets.Filter(pattern, options & 0x03, no_local, as_published, (options >> 4) & 0x03))
    return packets.Subscribe(packet_id, tuple(filters))


def _unsubscribe(reader: _Body, version: int) -> packets.Unsubscribe:
    packet_id = reader.number(2)
    reader.properties(version)
    patterns = []
    while reader.left:
        patterns.append(reader.text())
    return packets.Unsubscribe(packet_id, tuple(patterns))
