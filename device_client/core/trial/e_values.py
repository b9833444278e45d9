"""Evidence against a hypothetical mean, at any time: e-values by betting.

A bettor starts with 1 and bets, value by value, against the hypothesis. If it is true,
no strategy gains on average, and by Ville's inequality (1939) the wealth ever reaches
1/a with a probability of at most a: one may read it after every value and stop at will.
Bets of several sizes run side by side and their wealth is averaged, as the best size is
unknown beforehand. After Waudby-Smith and Ramdas, "Estimating means of bounded random
variables by betting", Journal of the Royal Statistical Society B 86 (2024). Since each
size is fixed, the wealth depends on the counts alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, log1p
from typing import Final

BETS: Final = (0.15, 0.3, 0.5, 0.7, 0.9)  # shares of the wealth at stake; bench/trial.py compares others
E_MAX: Final = 1e12  # beyond any threshold, and still a readable figure
_ROOM_MIN: Final = 1e-9  # for a mean at the bound: the first value off the bound refutes it


@dataclass(frozen=True, slots=True)
class Counted:
    """How often each possible value occurred; the extremes bound the loss."""

    values: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """0 without any values."""
        return sum(value * count for value, count in zip(self.values, self.counts, strict=True)) / (self.total or 1)


def evidence_above(counted: Counted, mean: float) -> float:
    """The e-value against "the mean is at most `mean`"; 20 refutes it at 5 %."""
    room = max(_ROOM_MIN, mean - min(counted.values))
    seen = [(value - mean, count) for value, count in zip(counted.values, counted.counts, strict=True) if count]
    logs = [sum(count * log1p(bet / room * excess) for excess, count in seen) for bet in BETS]  # of the wealth
    largest = max(logs)
    total = largest + log(sum(exp(log_ - largest) for log_ in logs) / len(logs))
    return exp(min(total, log(E_MAX)))


def evidence_below(counted: Counted, mean: float) -> float:
    """The e-value against "the mean is `mean` or more"."""
    return evidence_above(Counted(tuple(-value for value in counted.values), counted.counts), -mean)
