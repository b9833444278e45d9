"""Feedback beyond the open window: swapped-out versions, recent windows, drift states.

Not thread-safe, except `quality`, which any thread may call at any time.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable
from functools import reduce
from typing import Final

from device_client.core.conditions.model_quality import Quality
from device_client.feedback.drift_state import DriftStateStore
from device_client.feedback.window import FeedbackWindow
from device_client.ports.serving import ModelFile
from device_client.serving.feedback_counter import FeedbackCounter

RETIRED_MAX: Final = 4  # versions whose last counts and late labels are still reported
RECENT_MAX: Final = 10  # closed windows that quality is computed from
QUALITY_MIN: Final = 20  # labelled or compared inputs


class FeedbackHistory:
    """Opens the counter of a version and keeps what must outlive it."""

    def __init__(self, wall_s: Callable[[], float], drift_states: bytes | None) -> None:
        self._wall_s = wall_s
        self._drift_states = DriftStateStore(drift_states)
        self._retired: deque[FeedbackCounter] = deque(maxlen=RETIRED_MAX)
        self._recent: tuple[FeedbackWindow, ...] = ()  # replaced as a whole: `quality` reads it without a lock

    def open(self, model: ModelFile) -> FeedbackCounter:
        self._recent = ()
        trained = model.statistics
        return FeedbackCounter(
            model.version,
            model.variant,
            model.labels,
            now_s=self._wall_s(),
            distance=(trained.distance_mean, trained.distance_std) if trained else None,
            known=self._drift_states.get(model.version, model.variant),
        )

    def retire(self, counter: FeedbackCounter) -> None:
        self._drift_states.put(counter.drift_states)
        self._retired.append(counter)

    def take(self, live: FeedbackCounter | None, at_least: int) -> FeedbackWindow | None:
        """Close a retired window, else the live one with `at_least` inferences."""
        for counter in self._retired:
            if not counter.empty:
                return counter.take(self._wall_s())
        if live is None or live.inferences < max(1, at_least):
            return None
        window = live.take(self._wall_s())
        self._recent = (*self._recent, window)[-RECENT_MAX:]
        return window

    def drift_states(self, live: FeedbackCounter | None) -> bytes | None:
        if live:
            self._drift_states.put(live.drift_states)
        return self._drift_states.to_json()

    def quality(self, live: FeedbackCounter) -> Quality | None:
        served = (live.version, live.variant)
        closed = [window.sums for window in self._recent if (window.version, window.variant) == served]
        sums = reduce(operator.add, closed, live.sums())
        if not sums.inferences:
            return None
        return Quality(
            accuracy=sums.accuracy if sums.labelled >= QUALITY_MIN else None,
            drift=live.drift,
            agreement=sums.agreement if sums.compared >= QUALITY_MIN else None,
            confidence=sums.confidence_mean,
            inferences=sums.inferences,
        )
