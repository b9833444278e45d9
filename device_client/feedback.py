"""Windows of inference feedback: plain sums that add up over time and over a fleet.

Owns the latency buckets, the window and the counter that fills it. Does not own a clock (times are arguments), does not
know the runtime or MQTT.

Latency buckets: bucket k counts latencies from 2^(k/4) up to, not including, 2^((k+1)/4) microseconds, 0 ≤ k ≤ 95. What
is faster falls into bucket 0, what is slower than 14 s into bucket 95. A percentile is read at its bucket's geometric
middle, and is therefore right to within 9 %.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Final

from protocol.messages import Feedback

BUCKETS_PER_OCTAVE: Final = 4
BUCKET_LAST: Final = 95
CLASSES_MAX: Final = 64  # named in a message; the rest is summed under OTHER, so that the line stays short
CLASS_NAME_MAX: Final = 40  # characters
OTHER: Final = "*"
_CONFIDENCE_UNIT: Final = 1_000_000  # confidences are summed in millionths: whole numbers add up exactly, in any order


def bucket(latency_s: float) -> int:
    """The latency bucket, 0-95, of a duration in seconds."""
    us = latency_s * 1e6
    return min(int(math.log2(us) * BUCKETS_PER_OCTAVE), BUCKET_LAST) if us > 1.0 else 0


def percentile_ms(histogram: Mapping[int, int], share: float) -> float | None:
    """The latency in milliseconds under which `share` (0-1) of a histogram lies; None when it is empty."""
    left = math.ceil(share * sum(histogram.values()))
    for index, count in sorted(histogram.items()):
        left -= count
        if left <= 0 < count:
            return round(2 ** ((index + 0.5) / BUCKETS_PER_OCTAVE) / 1000, 6)
    return None


@dataclass(frozen=True, slots=True)
class Window:
    """What one version did between two moments. `inferences` counts every input, those that failed (`errors`) too.

    `start_s`, `end_s`: seconds since 1970 in UTC. `classes`: how often each answer was given.
    `latency`: bucket to count.
    """

    version: str
    variant: str
    start_s: float
    end_s: float
    inferences: int = 0
    errors: int = 0
    labelled: int = 0
    correct: int = 0
    classes: Mapping[str, int] = field(default_factory=dict)
    latency: Mapping[int, int] = field(default_factory=dict)
    confident: int = 0  # inferences that came with a confidence
    confidence_millionths: int = 0

    def merge(self, other: Window) -> Window:
        """The window that spans both; the order makes no difference. Raises ValueError for unlike versions."""
        if (self.version, self.variant) != (other.version, other.variant):
            raise ValueError(f"a window of {self.version} cannot be added to one of {other.version}")
        return Window(
            version=self.version,
            variant=self.variant,
            start_s=min(self.start_s, other.start_s),
            end_s=max(self.end_s, other.end_s),
            inferences=self.inferences + other.inferences,
            errors=self.errors + other.errors,
            labelled=self.labelled + other.labelled,
            correct=self.correct + other.correct,
            classes=dict(Counter(self.classes) + Counter(other.classes)),
            latency=dict(Counter(self.latency) + Counter(other.latency)),
            confident=self.confident + other.confident,
            confidence_millionths=self.confidence_millionths + other.confidence_millionths,
        )

    @property
    def confidence_sum(self) -> float:
        """Sum of the confidences, 0-1 each."""
        return self.confidence_millionths / _CONFIDENCE_UNIT

    @property
    def latency_ms_p50(self) -> float | None:
        """Median latency of the inferences that did not fail."""
        return percentile_ms(self.latency, 0.50)

    @property
    def latency_ms_p95(self) -> float | None:
        """Latency that 95 % of the inferences stayed under."""
        return percentile_ms(self.latency, 0.95)


class Counts:
    """What a window is made from: counts one inference in about two microseconds. Any thread may call any method."""

    __slots__ = ("_classes", "_latency", "_lock", "_names", "_start_s", "_sums", "variant", "version")

    def __init__(self, version: str, variant: str, labels: Sequence[str] = (), *, now_s: float) -> None:
        self.version = version
        self.variant = variant
        self._names = tuple(labels)
        self._lock = Lock()
        self._reset(now_s)

    def observe(self, latency_s: float, top: int | None, confidence: float | None) -> None:
        """Count an answer: how long it took, its top class and how sure the model was, where there is such a thing."""
        index = bucket(latency_s)
        with self._lock:
            sums = self._sums
            sums[0] += 1
            self._latency[index] = self._latency.get(index, 0) + 1
            if top is not None:
                self._classes[top] = self._classes.get(top, 0) + 1
            if confidence is not None:
                sums[4] += 1
                sums[5] += round(confidence * _CONFIDENCE_UNIT)

    def fail(self) -> None:
        """Count an input that got no answer."""
        with self._lock:
            self._sums[0] += 1
            self._sums[1] += 1

    def label(self, correct: bool) -> None:
        """Count a true label that came for an earlier answer."""
        with self._lock:
            self._sums[2] += 1
            self._sums[3] += correct

    @property
    def inferences(self) -> int:
        """Inputs since the last `take`."""
        return self._sums[0]

    @property
    def empty(self) -> bool:
        """Whether nothing at all was counted since the last `take`; a late label counts."""
        return not any(self._sums)

    def look(self, now_s: float) -> Window:
        """The counts so far, as a window."""
        with self._lock:
            return self._window(now_s)

    def take(self, now_s: float) -> Window:
        """The counts so far, as a window; counting starts again from nothing."""
        with self._lock:
            window = self._window(now_s)
            self._reset(now_s)
            return window

    def _reset(self, now_s: float) -> None:
        self._start_s = now_s
        self._sums = [0, 0, 0, 0, 0, 0]  # inferences, errors, labelled, correct, confident, confidence in millionths
        self._classes: dict[int, int] = {}
        self._latency: dict[int, int] = {}

    def _window(self, now_s: float) -> Window:
        inferences, errors, labelled, correct, confident, millionths = self._sums
        return Window(
            version=self.version,
            variant=self.variant,
            start_s=self._start_s,
            end_s=max(now_s, self._start_s),  # a wall clock may be set back
            inferences=inferences,
            errors=errors,
            labelled=labelled,
            correct=correct,
            classes=self._named(),
            latency=dict(self._latency),
            confident=confident,
            confidence_millionths=millionths,
        )

    def _named(self) -> dict[str, int]:
        named: Counter[str] = Counter()
        for index, count in self._classes.items():
            known = index < len(self._names)
            named[self._names[index][:CLASS_NAME_MAX] if known else str(index)] += count
        return dict(named)


def to_message(window: Window, device: str, model: str, event_id: str) -> Feedback:
    """The window as it goes on the wire: under 1 KB for ten classes."""
    return Feedback(
        model=model,
        version=window.version,
        inferences=window.inferences,
        errors=window.errors,
        accuracy=round(window.correct / window.labelled, 6) if window.labelled else None,
        latency_ms_p95=_short(window.latency_ms_p95),
        latency_ms_p50=_short(window.latency_ms_p50),
        confidence_mean=_short(window.confidence_sum / window.confident) if window.confident else None,
        labelled=window.labelled,
        correct=window.correct,
        classes=_most_frequent(window.classes),
        latency_histogram={str(index): count for index, count in sorted(window.latency.items())},
        confidence_sum=window.confidence_sum,
        device=device,
        variant=window.variant,
        window_start=datetime.fromtimestamp(window.start_s, UTC),
        window_end=datetime.fromtimestamp(window.end_s, UTC),
        event_id=event_id,
    )


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _most_frequent(classes: Mapping[str, int]) -> dict[str, int]:
    ranked = sorted(classes.items(), key=lambda item: (-item[1], item[0]))
    named = dict(ranked[:CLASSES_MAX])
    if rest := sum(count for _, count in ranked[CLASSES_MAX:]):
        named[OTHER] = named.get(OTHER, 0) + rest
    return named
