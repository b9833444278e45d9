"""How windows of feedback add up: buckets, figures drawn from the sums, and the window of two. Pure.

Every count and histogram is a whole number, so that sums are the same in any order and grouping; what is no sum follows
from the sums, except `drift` and `drifting`, of which the worst is kept. Does not count anything itself.

Latency buckets: bucket k counts latencies from 2^(k/4) up to, not including, 2^((k+1)/4) microseconds, 0 ≤ k ≤ 95. What
is faster falls into bucket 0, what is slower than 14 s into bucket 95. A percentile is read at its bucket's geometric
middle, and is therefore right to within 9 %.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Final

from protocol.messages.device import Feedback, Sample

BUCKETS_PER_OCTAVE: Final = 4
BUCKET_LAST: Final = 95
CONFIDENCE_BINS: Final = 10  # of equal width from 0 to 1
CONFIDENCE_UNIT: Final = 1_000_000  # confidences are summed in millionths
CLASSES_MAX: Final = 64  # named in a message; the rest is summed under OTHER, so that the line stays short
OTHER: Final = "*"


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


def entropy_bits(counts: Iterable[int]) -> float | None:
    """How evenly answers are spread: 0 where all are alike, log2(n) for n equally frequent ones; None without any."""
    given = sorted(count for count in counts if count > 0)  # sorted: a sum of floats depends on its order
    total = sum(given)
    return -sum(count / total * math.log2(count / total) for count in given) + 0.0 if total else None


def most_frequent(classes: Mapping[str, int], most: int = CLASSES_MAX) -> dict[str, int]:
    """The classes that a message names, most frequent first, and the rest as one."""
    ranked = sorted(classes.items(), key=lambda item: (item[0] == OTHER, -item[1], item[0]))
    rest = sum(count for _, count in ranked[most:])
    named = dict(ranked[:most])
    return named | {OTHER: named.get(OTHER, 0) + rest} if rest else named


def merge(one: Feedback, other: Feedback) -> Feedback:
    """The window of both, under an id of its own. Raises ValueError unless both tell of one version on one device.

    Where more than 64 classes come together, the less frequent ones go under `*`: the total stays exact.
    """
    if _subject(one) != _subject(other):
        raise ValueError(f"a window of {_subject(one)} cannot be added to one of {_subject(other)}")
    both = one.model_copy(
        update={
            "inferences": one.inferences + other.inferences,
            "errors": one.errors + other.errors,
            "labelled": one.labelled + other.labelled,
            "correct": one.correct + other.correct,
            "compared": one.compared + other.compared,
            "agreed": one.agreed + other.agreed,
            "classes": most_frequent(Counter(one.classes) + Counter(other.classes)),
            "latency_histogram": _by_bucket(Counter(one.latency_histogram) + Counter(other.latency_histogram)),
            "confidence_histogram": add(one.confidence_histogram, other.confidence_histogram),
            "confidence_sum": (_millionths(one) + _millionths(other)) / CONFIDENCE_UNIT,
            "drift": worst_drift(one.drift, other.drift),
            "drifting": worst_drifting(one.drifting, other.drifting),
            "sample": add_samples(one.sample, other.sample),
            "window_start": min(one.window_start, other.window_start),
            "window_end": max(one.window_end, other.window_end),
            "event_id": hashlib.sha256("\0".join(sorted((one.event_id, other.event_id))).encode()).hexdigest()[:20],
        }
    )
    return with_figures(both)


def with_figures(window: Feedback) -> Feedback:
    """The same with every figure that follows from its sums."""
    latency = {int(index): count for index, count in window.latency_histogram.items()}
    confident = sum(window.confidence_histogram)
    sample = window.sample
    return window.model_copy(
        update={
            "accuracy": _share(window.correct, window.labelled),
            "agreement": _share(window.agreed, window.compared),
            "latency_ms_p50": _short(percentile_ms(latency, 0.50)),
            "latency_ms_p95": _short(percentile_ms(latency, 0.95)),
            "latency_ms_p99": _short(percentile_ms(latency, 0.99)),
            "confidence_mean": _short(window.confidence_sum / confident) if confident else None,
            "entropy_bits": _short(entropy_bits(window.classes.values())),
            "input_shift": _short(sample.level_sum / sample.inputs / 1000) if sample and sample.inputs else None,
        }
    )


def add(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    """Two histograms bin by bin; one that is shorter, as when nothing was counted, has nothing there."""
    return tuple(ours + theirs for ours, theirs in zip_longest(one, other, fillvalue=0))


def worst_drift(one: float | None, other: float | None) -> float | None:
    """The higher of two scores."""
    return max((score for score in (one, other) if score is not None), default=None)


def worst_drifting(one: bool | None, other: bool | None) -> bool | None:
    """Whether either said so; None when neither could tell."""
    return None if one is other is None else bool(one or other)


def add_samples(one: Sample | None, other: Sample | None) -> Sample | None:
    """Two samples as one."""
    if one is None or other is None:
        return one or other
    entropies = [each.entropy_sum for each in (one, other) if each.entropy_sum is not None]
    return Sample(
        inputs=one.inputs + other.inputs,
        level_sum=one.level_sum + other.level_sum,
        level_squares=one.level_squares + other.level_squares,
        levels=add(one.levels, other.levels),
        distance_sum=one.distance_sum + other.distance_sum,
        entropy_sum=sum(entropies) if entropies else None,
    )


def _subject(window: Feedback) -> tuple[str, str, str, str | None]:
    return window.device, window.model, window.version, window.variant


def _millionths(window: Feedback) -> int:
    return round(window.confidence_sum * CONFIDENCE_UNIT)


def _by_bucket(histogram: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(histogram.items(), key=lambda item: int(item[0])))


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
