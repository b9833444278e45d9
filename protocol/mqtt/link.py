"""The port to a broker, in our own words. No MQTT library is named here.

An implementation never calls back into its owner: it puts events on the sink it was given (a queue, as a rule), from
any thread, and the owner takes them in its own time. `mqtt_link.py` is the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker has accepted us; every subscription must be made again."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection is gone, or was refused; the link tries again by itself unless `final`."""

    reason: str
    final: bool = False  # wrong credentials and the like: trying again would not help


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """Where a sender awaits an answer, and what it will know it by. MQTT 5 only; the sender's own words, unchecked."""

    topic: str
    correlation: bytes = b""


@dataclass(frozen=True, slots=True)
class Received:
    """A message came. `retained`: it was kept by the broker, not sent just now."""

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
    """The broker refused the publish with this receipt (MQTT 5 says so; 3.1.1 cannot)."""

    receipt: int
    reason: str


@dataclass(frozen=True, slots=True)
class Swept:
    """All that the broker keeps on these topics has been sent: what has not come is not there."""

    topics: tuple[str, ...]


LinkEvent = Connected | Disconnected | Received | Delivered | Refused | Swept
Sink = Callable[[LinkEvent], None]


class Link(Protocol):
    """What our two programs ask of a broker. No method blocks on the network."""

    def start(self) -> None:
        """Connect, and keep connecting with jittered back-off until `stop`."""

    def stop(self) -> None:
        """Send what is waiting if the broker takes it within a moment, then disconnect cleanly."""

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, correlation: bytes = b"") -> int:
        """Queue a message; return its receipt. At QoS 1 it is sent again after each reconnect until acknowledged.

        `correlation`: of the `ReplyTo` that this answers; MQTT 3.1.1 leaves it out.
        """

    def subscribe(self, topics: Sequence[str], *, qos: int) -> None:
        """Listen to topics from now on, retained messages first. Lost with the connection."""

    def unsubscribe(self, topics: Sequence[str]) -> None:
        """Stop listening."""

    def sweep(self, topics: Sequence[str]) -> None:
        """Ask once for what the broker keeps on exact topics, at QoS 0; `Swept` follows the last of it.

        SUBSCRIBE with UNSUBSCRIBE right behind it: the UNSUBACK came after every kept message on each broker measured.
        """
