"""Counts of a graded figure, so that sums are enough for a test at any time.

A figure falls on a hundredth or between two. A test takes of each bin the edge that
speaks against its verdict, so that nothing of its error rate is lost to the bins; 0 and
1 are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import floor
from typing import Final

from device_client.core.trial.e_values import Counted

STEPS: Final = 100  # of one
Bins = tuple[tuple[int, int], ...]  # bin and count, ascending


def bin_of(figure: float) -> int:
    """An even bin 2k holds k hundredths, an odd bin 2k + 1 what is up to the next."""
    scaled = figure * STEPS
    below = floor(scaled)
    return 2 * below + (scaled != below)


ONE: Final = bin_of(1.0)


def bins_of(counts: Mapping[int, int]) -> Bins:
    return tuple(sorted((at, count) for at, count in counts.items() if count))


def merged(*several: Iterable[tuple[int, int]]) -> Bins:
    counts: dict[int, int] = {}
    for each in several:
        for at, count in each:
            counts[at] = counts.get(at, 0) + count
    return bins_of(counts)


def less_than_one(bins: Bins) -> Bins:
    """The bins of 1 - x."""
    return tuple((ONE - at, count) for at, count in reversed(bins))


def total(bins: Bins) -> int:
    return sum(count for _, count in bins)


def mean(bins: Bins) -> float:
    """Of the bins' middles; 0 without any."""
    return sum(at * count for at, count in bins) / (2 * STEPS * (total(bins) or 1))


def at_least(bins: Bins, low: float, high: float) -> Counted:
    """Every figure as its bin's lower edge. `low`, `high`: what the figure can be."""
    return _counted(bins, low, high, 0)


def at_most(bins: Bins, low: float, high: float) -> Counted:
    return _counted(bins, low, high, 1)


def _counted(bins: Bins, low: float, high: float, upper: int) -> Counted:
    values = tuple((at + upper) // 2 / STEPS for at, _ in bins)
    return Counted((low, *values, high), (0, *(count for _, count in bins), 0))
