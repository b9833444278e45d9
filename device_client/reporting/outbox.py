"""Publishes the journal's reports: at least once, in order, until acknowledged.

Unacknowledged publishes are bounded, so that a week offline is no flood. A refused
report is retried at the next connection; a full disk delays the removal of a delivered.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from device_client.core.outbox_entry import OutboxEntry
from device_client.ports.journal import Journal
from protocol.errors import FerryError

UNACKNOWLEDGED_MAX: Final = 32
log = logging.getLogger(__name__)

Publish = Callable[[str, bytes], int]
"""Publish a payload on a topic at QoS 1, not retained; returns the receipt."""


class Outbox:
    """Used by one thread."""

    def __init__(self, journal: Journal, publish: Publish) -> None:
        self._journal = journal
        self._publish = publish
        self._unacknowledged: dict[int, str] = {}  # receipt to event id
        self._unremoved: set[str] = set()  # acknowledged, but still in the journal
        self._online = False

    def connected(self) -> None:
        """Begin to send; the link itself repeats what was unacknowledged."""
        self._online = True
        self.flush()

    def disconnected(self) -> None:
        self._online = False

    def flush(self) -> None:
        """Send waiting reports, up to the limit of unacknowledged ones."""
        if not self._online or len(self._unacknowledged) >= UNACKNOWLEDGED_MAX:
            return
        for event_id in tuple(self._unremoved):
            self._remove(event_id)
        sent = self._unremoved.union(self._unacknowledged.values())
        unsent = [entry for entry in self._waiting() if entry.event_id not in sent]
        for entry in self._marked(unsent[: UNACKNOWLEDGED_MAX - len(self._unacknowledged)]):
            self._unacknowledged[self._publish(entry.topic, entry.payload)] = entry.event_id

    def delivered(self, receipt: int) -> None:
        """The broker acknowledged a publish, maybe none of the outbox."""
        event_id = self._unacknowledged.pop(receipt, None)
        if event_id is not None:
            self._remove(event_id)
            self.flush()

    def refused(self, receipt: int, reason: str) -> None:
        event_id = self._unacknowledged.pop(receipt, None)
        if event_id is not None:
            log.error("report %s was refused by the broker (%s); it is kept, check the access rules", event_id, reason)
            self._online = False  # a retry on this connection would only be refused again

    def _waiting(self) -> list[OutboxEntry]:
        try:
            return self._journal.waiting()
        except (FerryError, OSError) as failed:
            log.error("the outbox cannot be read: %s", failed)
            return []

    def _marked(self, entries: list[OutboxEntry]) -> list[OutboxEntry]:
        """Mark feedback first, as one merged after sending would be counted twice."""
        windows = [entry.event_id for entry in entries if entry.kind == "feedback"]
        marked = frozenset[str]()
        try:
            marked = self._journal.mark_sent(windows) if windows else marked
        except (FerryError, OSError) as failed:
            log.error("%d windows of feedback wait, for they cannot be marked as sent: %s", len(windows), failed)
        return [entry for entry in entries if entry.kind == "event" or entry.event_id in marked]

    def _remove(self, event_id: str) -> None:
        try:
            self._journal.delivered(event_id)
        except (FerryError, OSError) as failed:
            if event_id not in self._unremoved:
                log.error("report %s was delivered, but cannot be removed from the outbox: %s", event_id, failed)
            self._unremoved.add(event_id)
        else:
            self._unremoved.discard(event_id)
