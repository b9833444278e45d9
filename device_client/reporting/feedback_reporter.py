"""Closes the models' feedback windows at intervals, and puts them in the outbox."""

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

UNSAVED_MAX: Final = 32  # windows; merging leaves one per version of each model if they fit into a message

log = logging.getLogger(__name__)


class FeedbackReporter:
    """One per device. `session` makes window ids differ from those of other runs."""

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
        self._unsaved: list[OutboxEntry] = []  # what the disk had no room for, merged
        self.due_s = clock.monotonic_s() + every_s

    def report_if_due(self, servings: Mapping[str, Serving]) -> bool:
        now_s = self._clock.monotonic_s()
        if now_s < self.due_s:
            return False
        self.due_s = now_s + self._every_s
        return self.report(servings)

    def report(self, servings: Mapping[str, Serving]) -> bool:
        """Close every non-empty window; return whether the outbox has new entries.

        Windows that cannot be saved are merged, and retried until the process ends.
        """
        closed = [self._entry(model, window) for model, serving in servings.items() for window in _take(serving)]
        entries = [*self._unsaved, *closed]
        if not entries:
            return False
        try:
            states = {model: serving.drift_states() for model, serving in servings.items()}
            self._journal.enqueue(entries, {model: state for model, state in states.items() if state is not None})
        except (FerryError, OSError) as full:
            self._keep_unsaved(entries, full)
            return False
        self._unsaved = []
        return True

    def last_report(self, servings: Mapping[str, Serving]) -> bool:
        """`report` at the end of the process, with a log line for what is lost."""
        saved = self.report(servings)
        if self._unsaved:
            log.error("%d windows of feedback are lost, for they could not be kept", len(self._unsaved))
        return saved

    def _keep_unsaved(self, entries: Sequence[OutboxEntry], full: Exception) -> None:
        level = logging.DEBUG if self._unsaved else logging.ERROR  # an error the first time only
        log.log(level, "feedback cannot be kept yet, and adds up until it can be: %s", full)
        fewest = merged(entries)
        if len(fewest) > UNSAVED_MAX:
            log.error("%d windows of feedback are lost: %s", len(fewest) - UNSAVED_MAX, full)
        self._unsaved = fewest[-UNSAVED_MAX:]

    def _entry(self, model: str, window: FeedbackWindow) -> OutboxEntry:
        self._windows += 1
        name = f"{self._device}\0{model}\0{self._session}\0{self._windows}"
        event_id = hashlib.sha256(name.encode()).hexdigest()[:20]
        line = truncated(to_message(window, self._device, model, event_id), self._window_max_bytes).to_line()
        topic = self._topics.of_device(Kind.FEEDBACK, self._device, model)
        return OutboxEntry(event_id, topic, line, self._clock.utc().timestamp(), "feedback")


def _take(serving: Serving) -> Iterator[FeedbackWindow]:
    """All open windows: versions that were swapped out have their own."""
    while (window := serving.take_window(at_least=1)) is not None:
        yield window
