"""Tells when a stream of numbers has moved up from where it used to be: Page's cumulative sum, seedless and pure.

E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954) 100-115: add up by how much each number exceeds the
reference mean and a slack, never under zero; when the sum passes a limit, the stream has moved. Where the reference is
not known it is learnt from the first numbers, as in D. V. Hinkley, "Inference about the change-point from cumulative
sum tests", Biometrika 58 (1971) 509-523 (the Page-Hinkley test). Two things are ours, for a device must also see that
all is well again: the reference is not learnt on, and the sum does not grow past its limit. See docs/FEEDBACK.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

SLACK: Final = 0.5  # standard deviations that a stream may move without a word
LIMIT: Final = 50.0  # a stream that moved by one standard deviation is called after 100 numbers, by four after 15
CALM: Final = 0.5  # share of the limit under which the alarm ends
REACH: Final = 4.0  # standard deviations: one outlier alone moves the sum by no more
LEARN: Final = 200  # numbers from which the reference is learnt where it is not given


@dataclass(frozen=True, slots=True)
class DriftState:
    """What a detector knows. `count`, `mean`, `squares`: of the numbers from which its reference was learnt."""

    sum: float
    drifting: bool
    count: int
    mean: float
    squares: float


class PageHinkley:
    """One detector of one stream; not thread-safe. Numbers in, `score` (0-1) and `drifting` out."""

    __slots__ = ("_count", "_given", "_mean", "_squares", "_std", "_std_floor", "_sum", "drifting")

    def __init__(self, mean: float | None = None, std: float = 0.0, *, std_floor: float) -> None:
        """`mean` and `std`: the reference, learnt where the mean is None. `std_floor`: the least that counts."""
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
        """0 where all is as it was, 1 where the limit is reached; None while the reference is being learnt."""
        return self._sum / LIMIT if self._count == LEARN else None

    def state(self) -> DriftState:
        """What another detector of the same stream can go on from."""
        return DriftState(self._sum, self.drifting, self._count, self._mean, self._squares)

    def resume(self, known: DriftState) -> None:
        """Go on from there. A reference that is given stays as it is; a standing that cannot be changes nothing."""
        whole = all(map(math.isfinite, (known.sum, known.mean, known.squares)))
        if not (whole and 0 <= known.count <= LEARN and 0 <= known.sum <= LIMIT and known.squares >= 0):
            return
        self._sum, self.drifting = known.sum, known.drifting
        if not self._given and known.count:
            self._count, self._mean, self._squares = known.count, known.mean, known.squares
            self._std = max(math.sqrt(known.squares / known.count), self._std_floor)

    def update(self, number: float) -> float | None:
        """Weigh one more number; the score, as `score`."""
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
