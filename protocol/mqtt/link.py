"""The port to a broker. No MQTT library is named here.

An implementation passes events to its sink (usually a queue), from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker has accepted the connection; every subscription must be made again."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection was lost or refused; the link reconnects by itself."""

    reason: str
    final: bool = False  # wrong credentials and the like: retries will not help


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """Where a sender expects the response. MQTT 5 only; unchecked."""

    topic: str
    correlation: bytes = b""


@dataclass(frozen=True, slots=True)
class Received:
    """`retained`: the broker had stored it."""

    topic: str
    payload: bytes
    retained: bool
    reply_to: ReplyTo | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """The broker has acknowledged the publish with this receipt."""

    receipt: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker refused the publish with this receipt; only MQTT 5 reports that."""

    receipt: int
    reason: str


@dataclass(frozen=True, slots=True)
class SweepCompleted:
    """All retained messages of these topics have been received; there are no others."""

    topics: tuple[str, ...]


LinkEvent = Connected | Disconnected | Received | Delivered | Refused | SweepCompleted
Sink = Callable[[LinkEvent], None]


class Link(Protocol):
    """A connection to a broker that renews itself. No method blocks on the network."""

    def start(self) -> None:
        """Connect, and reconnect with jittered backoff until `stop`."""

    def stop(self) -> None:
        """Send what is queued, for a moment at most, then disconnect cleanly."""

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, correlation: bytes = b"") -> int:
        """Queue a message; return its receipt. At QoS 1 it is sent until acknowledged.

        `correlation`: of the `ReplyTo` that this answers; left out by MQTT 3.1.1.
        """

    def subscribe(self, topics: Sequence[str], *, qos: int) -> None:
        """Subscribe; retained messages come first, also if it is repeated."""

    def unsubscribe(self, topics: Sequence[str]) -> None:
        """End subscriptions."""

    def sweep(self, topics: Sequence[str]) -> None:
        """Fetch retained messages of exact topics once; `SweepCompleted` follows.

        Lost with the connection; ends subscriptions to the same topics. SUBSCRIBE and
        UNSUBSCRIBE at once: on each broker measured, UNSUBACK came last.
        """
