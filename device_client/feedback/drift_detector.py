"""Detects an upward shift of the mean of a stream of numbers. Pure and deterministic.

Page's cumulative sum (E. S. Page, "Continuous inspection schemes", Biometrika 41, 1954,
100-115). A reference that is not given is learnt from the first numbers (D. V. Hinkley,
"Inference about the change-point from cumulative sum tests", Biometrika 58, 1971,
509-523). So that the end of drift is seen too, the learnt reference stays fixed, and
the sum does not exceed its limit. See docs/FEEDBACK.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

SLACK: Final = 0.5  # standard deviations that a stream may shift unnoticed
LIMIT: Final = 50.0  # a shift of one standard deviation is detected after 100 numbers, of four after 15
CALM: Final = 0.5  # share of the limit below which drifting ends
REACH: Final = 4.0  # standard deviations: the most that one outlier counts
LEARN: Final = 200  # numbers from which the reference is learnt where it is not given


@dataclass(frozen=True, slots=True)
class DriftState:
    """`count`, `mean` and `squares` are of the reference."""

    sum: float
    drifting: bool
    count: int
    mean: float
    squares: float


class PageHinkley:
    """The detector of one stream. Not thread-safe."""

    __slots__ = ("_count", "_given", "_mean", "_squares", "_std", "_std_floor", "_sum", "drifting")

    def __init__(self, mean: float | None = None, std: float = 0.0, *, std_floor: float) -> None:
        """`mean`, `std`: the reference, learnt if None. `std_floor`: least `std`."""
        self._std_floor = std_floor
        self._given = mean is not None
        self._count = LEARN if self._given else 0
        self._mean = mean or 0.0
        self._squares = 0.0
        self._std = max(std, std_floor)
        self._sum = 0.0
        self.drifting = False

    @property
    def score(self) -> float | None:
        """0 to 1, which is the limit; None while the reference is being learnt."""
        return self._sum / LIMIT if self._count == LEARN else None

    def state(self) -> DriftState:
        return DriftState(self._sum, self.drifting, self._count, self._mean, self._squares)

    def resume(self, known: DriftState) -> None:
        """Continue from a state, ignored if invalid. A given reference is kept."""
        finite = all(map(math.isfinite, (known.sum, known.mean, known.squares)))
        if not (finite and 0 <= known.count <= LEARN and 0 <= known.sum <= LIMIT and known.squares >= 0):
            return
        self._sum, self.drifting = known.sum, known.drifting
        if not self._given and known.count:
            self._count, self._mean, self._squares = known.count, known.mean, known.squares
            self._std = max(math.sqrt(known.squares / known.count), self._std_floor)

    def update(self, number: float) -> float | None:
        if self._count < LEARN:
            self._learn(number)
            return None
        excess = (number - self._mean) / self._std
        total = self._sum + (excess if excess < REACH else REACH) - SLACK
        if total <= 0.0:
            total = 0.0
        elif total >= LIMIT:
            total, self.drifting = LIMIT, True
        if self.drifting and total < CALM * LIMIT:
            self.drifting = False
        self._sum = total
        return total / LIMIT

    def _learn(self, number: float) -> None:
        """Welford's running mean and variance."""
        self._count += 1
        before = number - self._mean
        self._mean += before / self._count
        self._squares += before * (number - self._mean)
        self._std = max(math.sqrt(self._squares / self._count), self._std_floor)
