"""Publishes at QoS 1 without acknowledgement, in order. Pure; not thread-safe.

Unbounded on purpose, as none must be lost; the owner bounds what it publishes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish; receipts are in the order of the calls."""

    receipt: int
    topic: str
    payload: bytes
    qos: int
    retain: bool
    correlation: bytes = b""


class Unacknowledged:
    """Messages that wait or are in flight; a lost connection requeues the latter."""

    def __init__(self) -> None:
        self._waiting: deque[Outgoing] = deque()
        self._sent: dict[int, Outgoing] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._sent)

    @property
    def sent(self) -> int:
        return len(self._sent)

    def add(self, message: Outgoing) -> None:
        self._waiting.append(message)

    def next_receipt(self) -> int | None:
        return self._waiting[0].receipt if self._waiting else None

    def send_next(self) -> Outgoing:
        message = self._waiting.popleft()
        self._sent[message.receipt] = message
        return message

    def settle(self, receipt: int) -> bool:
        """Remove an acknowledged or refused message; False if it was not in flight."""
        return self._sent.pop(receipt, None) is not None

    def connection_lost(self) -> None:
        """Requeue the messages in flight, before all others."""
        self._waiting.extendleft(reversed(self._sent.values()))
        self._sent.clear()
