"""Closes the feedback windows of every model now and then, and puts them in the outbox."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from device_client.core.outbox_entry import OutboxEntry
from device_client.feedback.window import FeedbackWindow, to_message
from device_client.ports.context import Clock
from device_client.ports.journal import Journal
from device_client.ports.serving import Serving
from device_client.reporting.window_merging import merged
from protocol.errors import FerryError
from protocol.feedback.truncation import WINDOW_MAX_BYTES, truncated
from protocol.topics import Kind, Topics

OWED_MAX: Final = 32  # windows: of each version of each model one is enough, as long as they fit into a message

log = logging.getLogger(__name__)


class FeedbackReporter:
    """One per device. `session` makes the ids of its windows differ from those of an earlier life."""

    def __init__(
        self,
        device: str,
        session: str,
        topics: Topics,
        journal: Journal,
        clock: Clock,
        *,
        every_s: float,
        window_max_bytes: int = WINDOW_MAX_BYTES,
    ) -> None:
        self._device, self._session, self._topics = device, session, topics
        self._journal, self._clock, self._every_s = journal, clock, every_s
        self._window_max_bytes = window_max_bytes
        self._windows = 0
        self._owed: list[OutboxEntry] = []  # what the disk had no room for, merged
        self.due_s = clock.monotonic_s() + every_s

    def report_if_due(self, servings: Mapping[str, Serving]) -> bool:
        """Report when it is time; say whether something was put in the outbox."""
        now_s = self._clock.monotonic_s()
        if now_s < self.due_s:
            return False
        self.due_s = now_s + self._every_s
        return self.report(servings)

    def report(self, servings: Mapping[str, Serving]) -> bool:
        """Close every window that holds something; say whether one was put in the outbox.

        What the disk has no room for adds up and goes in with the next: only the end of the process loses counts.
        """
        fresh = [self._entry(model, window) for model, serving in servings.items() for window in _windows(serving)]
        entries = [*self._owed, *fresh]
        if not entries:
            return False
        try:
            stood = {model: serving.drift_states() for model, serving in servings.items()}
            self._journal.enqueue(entries, {model: known for model, known in stood.items() if known is not None})
        except (FerryError, OSError) as full:
            self._owe(entries, full)
            return False
        self._owed = []
        return True

    def last_report(self, servings: Mapping[str, Serving]) -> bool:
        """The same at the end of the process: what cannot be kept now is lost."""
        kept = self.report(servings)
        if self._owed:
            log.error("%d windows of feedback are lost, for they could not be kept", len(self._owed))
        return kept

    def _owe(self, entries: Sequence[OutboxEntry], full: Exception) -> None:
        told = log.debug if self._owed else log.error  # once is enough to be told
        told("feedback cannot be kept yet, and adds up until it can be: %s", full)
        fewest = merged(entries)
        if len(fewest) > OWED_MAX:
            log.error("%d windows of feedback are lost: %s", len(fewest) - OWED_MAX, full)
        self._owed = fewest[-OWED_MAX:]

    def _entry(self, model: str, window: FeedbackWindow) -> OutboxEntry:
        self._windows += 1
        name = f"{self._device}\0{model}\0{self._session}\0{self._windows}"
        event_id = hashlib.sha256(name.encode()).hexdigest()[:20]
        line = truncated(to_message(window, self._device, model, event_id), self._window_max_bytes).to_line()
        topic = self._topics.of_device(Kind.FEEDBACK, self._device, model)
        return OutboxEntry(event_id, topic, line, self._clock.utc().timestamp(), "feedback")


def _windows(serving: Serving) -> Iterator[FeedbackWindow]:
    """All that are open: what is left of a version that was swapped out has one of its own."""
    while (window := serving.take_window(at_least=1)) is not None:
        yield window
