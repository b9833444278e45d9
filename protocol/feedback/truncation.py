"""Shortens a feedback message: names fewer classes, and widens latency buckets.

Totals stay exact, and the figures are those of the whole window.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from protocol.feedback.aggregation import most_frequent
from protocol.messages.device import Feedback

WINDOW_MAX_BYTES: Final = 1_024  # the default of the setting `window_max_bytes`
# (classes that keep their name, buckets joined into one): the least loss first
STEPS: Final = ((32, 1), (16, 1), (16, 2), (12, 4), (8, 4), (4, 4), (2, 8), (1, 16), (0, 32))


def truncated(window: Feedback, max_bytes: int) -> Feedback:
    """The window, shortened until its line fits `max_bytes`, as far as it can be."""
    short = window
    for classes, width in STEPS:
        if len(short.to_line()) <= max_bytes:
            break
        short = window.model_copy(
            update={
                "classes": most_frequent(window.classes, classes),
                "latency_histogram": _widened(window.latency_histogram, width),
            }
        )
    return short


def _widened(histogram: Mapping[str, int], width: int) -> dict[str, int]:
    wide: Counter[int] = Counter()
    for index, count in histogram.items():
        wide[int(index) // width * width + width // 2] += count
    return {str(index): count for index, count in sorted(wide.items())}
