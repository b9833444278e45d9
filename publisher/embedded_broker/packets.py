"""MQTT packets as small records, and the numbers of packet types and reason codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

V311: Final = 4
V5: Final = 5

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9
UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 10, 11, 12, 13, 14

# reason codes of MQTT 5
GRANTED_MAX: Final = 2
DISCONNECT_WITH_WILL: Final = 0x04
MALFORMED: Final = 0x81
PROTOCOL_ERROR: Final = 0x82
BAD_VERSION: Final = 0x84
BAD_IDENTIFIER: Final = 0x85
BAD_CREDENTIALS: Final = 0x86
NOT_AUTHORIZED: Final = 0x87
SHUTTING_DOWN: Final = 0x8B
KEEPALIVE_TIMEOUT: Final = 0x8D
TAKEN_OVER: Final = 0x8E
BAD_FILTER: Final = 0x8F
BAD_TOPIC: Final = 0x90
TOO_LARGE: Final = 0x95
QOS_UNSUPPORTED: Final = 0x9B


class BadPacket(Exception):
    """A packet that violates the standard; `reason` is the MQTT 5 reason code."""

    def __init__(self, message: str, reason: int = MALFORMED) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PublishedMessage:
    """An application message. Queues share it and never copy it."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: bytes = b""  # of MQTT 5, encoded: those that a broker forwards


@dataclass(frozen=True, slots=True)
class Connect:
    """A client opens a session. `version` is V311, V5, or an unsupported one."""

    version: int
    client_id: str = ""
    keepalive_s: int = 0
    user: str | None = None
    password: bytes | None = None
    will: PublishedMessage | None = None
    receive_max: int = 65_535
    packet_max_bytes: int = 268_435_460


@dataclass(frozen=True, slots=True)
class Publish:
    """A client publishes a message; `packet_id` is 0 at QoS 0."""

    message: PublishedMessage
    packet_id: int


@dataclass(frozen=True, slots=True)
class Puback:
    packet_id: int


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter to add. `retain_handling`: 0 send retained ones, 1 if new, 2 never."""

    pattern: str
    qos: int
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


@dataclass(frozen=True, slots=True)
class Subscribe:
    packet_id: int
    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    packet_id: int
    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pingreq:
    """A client keeps its connection alive."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """A client disconnects; its will is published only with DISCONNECT_WITH_WILL."""

    reason: int = 0


Packet = Connect | Publish | Puback | Subscribe | Unsubscribe | Pingreq | Disconnect
