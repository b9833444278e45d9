"""Reports on their way to the broker: at least once, in order, each until it is acknowledged. The journal keeps them.

A bounded number is under way at a time, so that a week offline does not become a flood. A report that the broker
refuses stays, and is tried again at the next connection: perhaps its access rules are mended by then. A disk that is
full delays the forgetting, nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from device_client.core.outbox_entry import OutboxEntry
from device_client.ports.journal import Journal
from protocol.errors import FerryError

UNDER_WAY_MAX: Final = 32
log = logging.getLogger(__name__)

Publish = Callable[[str, bytes], int]
"""Topic and payload, at QoS 1, not retained; the receipt comes back."""


class Outbox:
    """Sends what the journal holds. One thread uses it."""

    def __init__(self, journal: Journal, publish: Publish) -> None:
        self._journal = journal
        self._publish = publish
        self._under_way: dict[int, str] = {}  # receipt to event id
        self._heard: set[str] = set()  # acknowledged, but the journal could not strike it out yet
        self._online = False

    def connected(self) -> None:
        """The link is up; what it had under way it sends again by itself."""
        self._online = True
        self.flush()

    def disconnected(self) -> None:
        """Wait."""
        self._online = False

    def flush(self) -> None:
        """Send what waits, as far as there is room."""
        if not self._online or len(self._under_way) >= UNDER_WAY_MAX:
            return
        for event_id in tuple(self._heard):
            self._strike_out(event_id)
        sent = self._heard.union(self._under_way.values())
        fresh = [entry for entry in self._waiting() if entry.event_id not in sent]
        for entry in self._marked(fresh[: UNDER_WAY_MAX - len(self._under_way)]):
            self._under_way[self._publish(entry.topic, entry.payload)] = entry.event_id

    def delivered(self, receipt: int) -> None:
        """The broker has acknowledged a publish; it need not be one of these."""
        event_id = self._under_way.pop(receipt, None)
        if event_id is not None:
            self._strike_out(event_id)
            self.flush()

    def refused(self, receipt: int, reason: str) -> None:
        """The broker does not take it from us."""
        event_id = self._under_way.pop(receipt, None)
        if event_id is not None:
            log.error("report %s was refused by the broker (%s); it is kept, check the access rules", event_id, reason)
            self._online = False  # until the next connection: asking again at once would only be refused again

    def _waiting(self) -> list[OutboxEntry]:
        try:
            return self._journal.waiting()
        except (FerryError, OSError) as failed:
            log.error("what waits to be reported cannot be read: %s", failed)
            return []

    def _marked(self, entries: list[OutboxEntry]) -> list[OutboxEntry]:
        """Those that may go out. Feedback is marked first: merged after it was seen, it would be counted twice."""
        windows = [entry.event_id for entry in entries if entry.kind == "feedback"]
        try:
            there = self._journal.mark_sent(windows) if windows else frozenset[str]()
        except (FerryError, OSError) as failed:
            log.error("%d windows of feedback wait, for they cannot be marked as sent: %s", len(windows), failed)
            there = frozenset[str]()
        return [entry for entry in entries if entry.kind == "event" or entry.event_id in there]

    def _strike_out(self, event_id: str) -> None:
        try:
            self._journal.delivered(event_id)
        except (FerryError, OSError) as failed:
            if event_id not in self._heard:
                log.error("report %s was delivered, but cannot be struck out: %s", event_id, failed)
            self._heard.add(event_id)
        else:
            self._heard.discard(event_id)
