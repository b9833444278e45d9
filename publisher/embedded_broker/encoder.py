"""Encodes the packets that a broker sends, in MQTT 3.1.1 and 5."""

from __future__ import annotations

import struct
from typing import Final

from publisher.embedded_broker.packets import (
    BAD_CREDENTIALS,
    BAD_IDENTIFIER,
    BAD_VERSION,
    CONNACK,
    DISCONNECT,
    GRANTED_MAX,
    NOT_AUTHORIZED,
    PINGRESP,
    PUBACK,
    PUBLISH,
    SUBACK,
    UNSUBACK,
    V5,
    PublishedMessage,
)

_CONNACK_V311: Final = {0: 0, BAD_VERSION: 1, BAD_IDENTIFIER: 2, BAD_CREDENTIALS: 4, NOT_AUTHORIZED: 5}
_SESSION_EXPIRY, _PACKET_MAXIMUM, _ASSIGNED_ID, _MAXIMUM_QOS, _SUBSCRIPTION_IDS, _SHARED = (
    0x11, 0x27, 0x12, 0x24, 0x29, 0x2A,
)  # fmt: skip


def connack(version: int, reason: int, *, packet_max_bytes: int, assigned_id: str = "") -> bytes:
    """Answer a CONNECT. MQTT 3.1.1 has five reasons only."""
    if version != V5:
        return bytes([CONNACK << 4, 2, 0, _CONNACK_V311.get(reason, 3)])
    properties = b""
    if reason == 0:
        properties = struct.pack(
            "!BIBIBBBBBB",
            *(_SESSION_EXPIRY, 0, _PACKET_MAXIMUM, packet_max_bytes, _MAXIMUM_QOS, 1),
            *(_SUBSCRIPTION_IDS, 0, _SHARED, 0),
        )
        if assigned_id:
            properties += bytes([_ASSIGNED_ID]) + _text(assigned_id)
    return _packet(CONNACK << 4, bytes([0, reason]) + _varint(len(properties)) + properties)


def publish_head(version: int, message: PublishedMessage, *, qos: int, retain: bool, packet_id: int) -> bytes:
    """A PUBLISH without its payload, which is sent after it without a copy."""
    head = _text(message.topic) + (packet_id.to_bytes(2, "big") if qos else b"")
    if version == V5:
        head += _varint(len(message.properties)) + message.properties
    return bytes([PUBLISH << 4 | qos << 1 | retain]) + _varint(len(head) + len(message.payload)) + head


def puback(version: int, packet_id: int, reason: int = 0) -> bytes:
    return _packet(PUBACK << 4, packet_id.to_bytes(2, "big") + (bytes([reason]) if version == V5 and reason else b""))


def suback(version: int, packet_id: int, reasons: list[int]) -> bytes:
    if version != V5:
        reasons = [reason if reason <= GRANTED_MAX else 0x80 for reason in reasons]
    return _packet(SUBACK << 4, packet_id.to_bytes(2, "big") + (b"\0" if version == V5 else b"") + bytes(reasons))


def unsuback(version: int, packet_id: int, reasons: list[int]) -> bytes:
    return _packet(UNSUBACK << 4, packet_id.to_bytes(2, "big") + (b"\0" + bytes(reasons) if version == V5 else b""))


def pingresp() -> bytes:
    return bytes([PINGRESP << 4, 0])


def disconnect(reason: int) -> bytes:
    return bytes([DISCONNECT << 4, 1, reason])


def _packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + _varint(len(body)) + body


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def _varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)
