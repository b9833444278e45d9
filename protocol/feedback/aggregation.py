"""The sums of a feedback window, their addition, and the figures that follow. Pure.

Sums are whole numbers: any order and grouping gives the same result. `drift` and
`drifting` are no sums; the worse one is kept.

Latency bucket k, 0 ≤ k ≤ 95, counts from 2^(k/4) up to, not including, 2^((k+1)/4) µs;
bucket 0 also faster ones, bucket 95 those over 14 s. A percentile is read at its
bucket's geometric middle, and is right to within 9 %.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Final

from protocol.messages.device import Feedback, Sample

BUCKETS_PER_OCTAVE: Final = 4
BUCKET_LAST: Final = 95
CONFIDENCE_BINS: Final = 10  # of equal width from 0 to 1
CONFIDENCE_UNIT: Final = 1_000_000  # confidences are summed in millionths
CLASSES_MAX: Final = 64  # named in a message; the rest is summed under OTHER, so that the line stays short
OTHER: Final = "*"
_COUNTS: Final = ("inferences", "errors", "labelled", "correct", "compared", "agreed")
_PARTLY: Final = ("partly_correct", "partly_agreed")  # sums of answers that are right, or alike, in part
_IN_MILLIONTHS: Final = tuple(f"{name}_millionths" for name in _PARTLY)


@dataclass(frozen=True, slots=True)
class FeedbackSums:
    """What was counted in a window. `inferences` includes those that failed (`errors`).

    `compared`: inputs that a shadow also answered. `classes`: answers by class name.
    `latency`: count by bucket. `confidences`: 10 bins, or empty. `drift`: the highest
    score, 0-1; like `drifting`, None where no detector was ready.
    """

    inferences: int = 0
    errors: int = 0
    labelled: int = 0
    correct: int = 0
    compared: int = 0
    agreed: int = 0
    partly_correct_millionths: int = 0
    partly_agreed_millionths: int = 0
    classes: Mapping[str, int] = field(default_factory=dict)
    latency: Mapping[int, int] = field(default_factory=dict)
    confidences: tuple[int, ...] = ()
    confidence_millionths: int = 0
    drift: float | None = None
    drifting: bool | None = None
    sample: Sample | None = None

    def __add__(self, other: FeedbackSums) -> FeedbackSums:
        return FeedbackSums(
            **{name: getattr(self, name) + getattr(other, name) for name in (*_COUNTS, *_IN_MILLIONTHS)},
            classes=dict(Counter(self.classes) + Counter(other.classes)),
            latency=dict(Counter(self.latency) + Counter(other.latency)),
            confidences=_add_bins(self.confidences, other.confidences),
            confidence_millionths=self.confidence_millionths + other.confidence_millionths,
            drift=max((score for score in (self.drift, other.drift) if score is not None), default=None),
            drifting=None if self.drifting is other.drifting is None else bool(self.drifting or other.drifting),
            sample=_add_samples(self.sample, other.sample),
        )

    @property
    def accuracy(self) -> float | None:
        right = self.correct + self.partly_correct_millionths / CONFIDENCE_UNIT
        return right / self.labelled if self.labelled else None

    @property
    def agreement(self) -> float | None:
        alike = self.agreed + self.partly_agreed_millionths / CONFIDENCE_UNIT
        return alike / self.compared if self.compared else None

    @property
    def confidence_mean(self) -> float | None:
        confident = sum(self.confidences)
        return self.confidence_millionths / CONFIDENCE_UNIT / confident if confident else None

    def latency_ms(self, share: float) -> float | None:
        return percentile_ms(self.latency, share)


def sums_of(message: Feedback) -> FeedbackSums:
    return FeedbackSums(
        **{name: getattr(message, name) for name in _COUNTS},
        **{f"{name}_millionths": round((getattr(message, name) or 0.0) * CONFIDENCE_UNIT) for name in _PARTLY},
        classes=message.classes,
        latency={int(index): count for index, count in message.latency_histogram.items()},
        confidences=message.confidence_histogram,
        confidence_millionths=round(message.confidence_sum * CONFIDENCE_UNIT),
        drift=message.drift,
        drifting=message.drifting,
        sample=message.sample,
    )


def message_fields(sums: FeedbackSums) -> dict[str, Any]:
    """The fields of `Feedback` with the sums, 64 classes, and derived figures."""
    classes, sample = most_frequent(sums.classes), sums.sample
    return {
        **{name: getattr(sums, name) for name in _COUNTS},
        **{name: getattr(sums, f"{name}_millionths") / CONFIDENCE_UNIT or None for name in _PARTLY},
        "classes": classes,
        "latency_histogram": {str(index): count for index, count in sorted(sums.latency.items())},
        "confidence_sum": sums.confidence_millionths / CONFIDENCE_UNIT,
        "confidence_histogram": sums.confidences,
        "drift": None if sums.drift is None else round(sums.drift, 4),
        "drifting": sums.drifting,
        "sample": sample,
        "accuracy": None if sums.accuracy is None else round(sums.accuracy, 6),
        "agreement": None if sums.agreement is None else round(sums.agreement, 6),
        "latency_ms_p50": _short(sums.latency_ms(0.50)),
        "latency_ms_p95": _short(sums.latency_ms(0.95)),
        "latency_ms_p99": _short(sums.latency_ms(0.99)),
        "confidence_mean": _short(sums.confidence_mean),
        "entropy_bits": _short(entropy_bits(classes.values())),
        "input_shift": _short(sample.level_sum / sample.inputs / 1000) if sample and sample.inputs else None,
    }


def merge(one: Feedback, other: Feedback) -> Feedback:
    """Raises ValueError unless both are of one version and variant on one device."""
    if _subject(one) != _subject(other):
        raise ValueError(f"a window of {_subject(one)} cannot be added to one of {_subject(other)}")
    event_id = hashlib.sha256("\0".join(sorted((one.event_id, other.event_id))).encode()).hexdigest()[:20]
    return one.model_copy(
        update=message_fields(sums_of(one) + sums_of(other))
        | {
            "window_start": min(one.window_start, other.window_start),
            "window_end": max(one.window_end, other.window_end),
            "event_id": event_id,
        }
    )


def bucket(latency_s: float) -> int:
    """The latency bucket, 0-95, of a duration in seconds."""
    us = latency_s * 1e6
    return min(int(math.log2(us) * BUCKETS_PER_OCTAVE), BUCKET_LAST) if us > 1.0 else 0


def percentile_ms(histogram: Mapping[int, int], share: float) -> float | None:
    """The latency in milliseconds that `share` (0-1) of a histogram stays under."""
    left = math.ceil(share * sum(histogram.values()))
    for index, count in sorted(histogram.items()):
        left -= count
        if left <= 0 < count:
            return round(2 ** ((index + 0.5) / BUCKETS_PER_OCTAVE) / 1000, 6)
    return None


def entropy_bits(counts: Iterable[int]) -> float | None:
    """Entropy of answers: 0 for one class, log2(n) for n equally frequent ones."""
    given = sorted(count for count in counts if count > 0)  # sorted: a sum of floats depends on its order
    total = sum(given)
    return -sum(count / total * math.log2(count / total) for count in given) + 0.0 if total else None


def most_frequent(classes: Mapping[str, int], most: int = CLASSES_MAX) -> dict[str, int]:
    """The `most` most frequent classes, descending, and the rest summed under `*`."""
    ranked = sorted(classes.items(), key=lambda item: (item[0] == OTHER, -item[1], item[0]))
    rest = sum(count for _, count in ranked[most:])
    named = dict(ranked[:most])
    return named | {OTHER: named.get(OTHER, 0) + rest} if rest else named


def _add_bins(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    return tuple(ours + theirs for ours, theirs in zip_longest(one, other, fillvalue=0))


def _add_samples(one: Sample | None, other: Sample | None) -> Sample | None:
    if one is None or other is None:
        return one or other
    entropies = [each.entropy_sum for each in (one, other) if each.entropy_sum is not None]
    return Sample(
        inputs=one.inputs + other.inputs,
        level_sum=one.level_sum + other.level_sum,
        level_squares=one.level_squares + other.level_squares,
        levels=_add_bins(one.levels, other.levels),
        distance_sum=one.distance_sum + other.distance_sum,
        entropy_sum=sum(entropies) if entropies else None,
    )


def _subject(window: Feedback) -> tuple[str, str, str, str | None]:
    return window.device, window.model, window.version, window.variant


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
