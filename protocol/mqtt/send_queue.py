"""What an owner has asked of its link and what is not done yet, in order. Thread-safe; rings a bell; does no I/O.

Publishes at QoS 1 stay until the broker has spoken, over any number of connections. All else belongs to one connection,
is bounded, and is forgotten with it.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from protocol.mqtt.unacknowledged import Outgoing, Unacknowledged

ASKS_MAX: Final = 1_000  # subscriptions and QoS 0 publishes that wait for a broker that does not read
Verb = Literal["subscribe", "unsubscribe", "sweep"]


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """A change of what we listen to. Receipts and these share one order."""

    order: int
    verb: Verb
    topics: tuple[str, ...]
    qos: int = 0


class SendQueue:
    """Filled by the owner's threads, emptied by the link's."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._lock = threading.Lock()
        self._orders = itertools.count(1)
        self._unacknowledged = Unacknowledged()
        self._asks: deque[QueuedRequest | Outgoing] = deque()
        self._online = False
        self._overrun = False

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool, correlation: bytes = b"") -> int:
        """Add a message and return its receipt; at QoS 0 it is dropped when there is no connection or no room."""
        with self._lock:
            message = Outgoing(next(self._orders), topic, payload, qos, retain, correlation)
            if qos:
                self._unacknowledged.add(message)
            elif self._online and len(self._asks) < ASKS_MAX:
                self._asks.append(message)
        self._ring()
        return message.receipt

    def ask(self, verb: Verb, topics: tuple[str, ...], qos: int = 0) -> None:
        """Add a change of what we listen to; it is dropped when there is no connection."""
        with self._lock:
            if self._online:
                # dropping one of many would leave the owner waiting: a new connection starts it all afresh
                self._overrun = self._overrun or len(self._asks) >= ASKS_MAX
                if not self._overrun:
                    self._asks.append(QueuedRequest(next(self._orders), verb, topics, qos))
        self._ring()

    def next(self, window: int) -> QueuedRequest | Outgoing | None:
        """Take the oldest that may go out now: `window` publishes are on their way at once; the rest is passed."""
        with self._lock:
            receipt = self._unacknowledged.next_receipt()
            if receipt is not None and self._unacknowledged.sent < window and receipt < self._oldest_ask():
                return self._unacknowledged.send_next()
            return self._asks.popleft() if self._asks else None

    def _oldest_ask(self) -> float:
        if not self._asks:
            return float("inf")
        first = self._asks[0]
        return first.receipt if isinstance(first, Outgoing) else first.order

    def settle(self, receipt: int) -> bool:
        """The broker has spoken about a message at QoS 1; False when that is no news."""
        with self._lock:
            return self._unacknowledged.settle(receipt)

    def came_online(self) -> None:
        """A connection stands."""
        with self._lock:
            self._online = True

    def went_offline(self) -> None:
        """It is gone: messages at QoS 1 wait to go again, all else is forgotten."""
        with self._lock:
            self._online = self._overrun = False
            self._asks.clear()
            self._unacknowledged.connection_lost()

    def is_overrun(self) -> bool:
        """Whether more was asked than fits: this connection takes nothing any more."""
        with self._lock:
            return self._overrun

    def __len__(self) -> int:
        with self._lock:
            return len(self._asks) + len(self._unacknowledged)
