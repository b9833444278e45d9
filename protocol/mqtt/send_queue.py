"""The calls of a link's owner that are not sent yet, in order. Thread-safe, no I/O.

Publishes at QoS 1 stay until acknowledged; all else is dropped with the connection.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from protocol.mqtt.unacknowledged import Outgoing, Unacknowledged

REQUESTS_MAX: Final = 1_000  # subscriptions and QoS 0 publishes that a broker does not read
Action = Literal["subscribe", "unsubscribe", "sweep"]


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """A change of subscriptions. `order` is in one sequence with receipts."""

    order: int
    action: Action
    topics: tuple[str, ...]
    qos: int = 0


class SendQueue:
    """Filled by the owner's threads, emptied by the link's, which `wake` wakes."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._orders = itertools.count(1)
        self._unacknowledged = Unacknowledged()
        self._requests: deque[QueuedRequest | Outgoing] = deque()
        self._online = False
        self._overflowed = False

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool, correlation: bytes = b"") -> int:
        """Add a message; at QoS 0 it is dropped without a connection or room."""
        with self._lock:
            message = Outgoing(next(self._orders), topic, payload, qos, retain, correlation)
            if qos:
                self._unacknowledged.add(message)
            elif self._online and len(self._requests) < REQUESTS_MAX:
                self._requests.append(message)
        self._wake()
        return message.receipt

    def request(self, action: Action, topics: tuple[str, ...], qos: int = 0) -> None:
        """Add a change of subscriptions; it is dropped when there is no connection."""
        with self._lock:
            if self._online:
                # dropping one would leave the owner waiting for it: a new connection
                # starts everything again
                self._overflowed = self._overflowed or len(self._requests) >= REQUESTS_MAX
                if not self._overflowed:
                    self._requests.append(QueuedRequest(next(self._orders), action, topics, qos))
        self._wake()

    def next(self, window: int) -> QueuedRequest | Outgoing | None:
        """Take the oldest item, with at most `window` publishes in flight."""
        with self._lock:
            receipt = self._unacknowledged.next_receipt()
            if receipt is not None and self._unacknowledged.sent < window and receipt < self._first_request():
                return self._unacknowledged.send_next()
            return self._requests.popleft() if self._requests else None

    def _first_request(self) -> float:
        if not self._requests:
            return float("inf")
        first = self._requests[0]
        return first.receipt if isinstance(first, Outgoing) else first.order

    def settle(self, receipt: int) -> bool:
        """The broker acknowledged or refused a message; False if that was known."""
        with self._lock:
            return self._unacknowledged.settle(receipt)

    def came_online(self) -> None:
        with self._lock:
            self._online = True

    def went_offline(self) -> None:
        """The connection ended: requeue messages at QoS 1, drop everything else."""
        with self._lock:
            self._online = self._overflowed = False
            self._requests.clear()
            self._unacknowledged.connection_lost()

    def overflowed(self) -> bool:
        """Whether a request found no room: the connection must be renewed."""
        with self._lock:
            return self._overflowed

    def __len__(self) -> int:
        with self._lock:
            return len(self._requests) + len(self._unacknowledged)
