"""Publishes at QoS 1 that no broker has acknowledged yet, in the order they were asked for. Pure; not thread-safe.

Unbounded on purpose: whoever publishes at QoS 1 was promised that nothing is lost. The owner bounds what it hands in
(a device's outbox is on disk, a publisher's upload waits for receipts).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish. Receipts grow, so they also tell the order."""

    receipt: int
    topic: str
    payload: bytes
    qos: int
    retain: bool
    correlation: bytes = b""


class Unacknowledged:
    """Each message waits, is sent, and is settled; a lost connection makes the sent ones wait again."""

    def __init__(self) -> None:
        self._waiting: deque[Outgoing] = deque()
        self._sent: dict[int, Outgoing] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._sent)

    @property
    def sent(self) -> int:
        """How many are on their way."""
        return len(self._sent)

    def add(self, message: Outgoing) -> None:
        """Put a message behind all others."""
        self._waiting.append(message)

    def next_receipt(self) -> int | None:
        """The receipt of the message to send next."""
        return self._waiting[0].receipt if self._waiting else None

    def send_next(self) -> Outgoing:
        """Take the message to send next; it is on its way now."""
        message = self._waiting.popleft()
        self._sent[message.receipt] = message
        return message

    def settle(self, receipt: int) -> bool:
        """Forget a message that the broker acknowledged or refused; False when that is no news."""
        return self._sent.pop(receipt, None) is not None

    def connection_lost(self) -> None:
        """All that was on its way has to go again, before the others."""
        self._waiting.extendleft(reversed(self._sent.values()))
        self._sent.clear()
