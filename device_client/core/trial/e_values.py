"""How strongly counts speak against a supposed mean, however often one looks: e-values by betting. Knows no models.

A gambler starts with 1 and bets, value by value, against the supposition. If it is true, no way of betting wins on
average, and by Ville's inequality (1939) the purse ever reaches 1/a with a probability of at most a: one may look after
every value and stop at will. Bets of several sizes are laid side by side and the purses averaged, for nobody knows the
best size beforehand. After Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", Journal
of the Royal Statistical Society B 86 (2024). Since each size is fixed, a purse depends on the counts alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, log1p
from typing import Final

BETS: Final = (0.15, 0.3, 0.5, 0.7, 0.9)  # shares of the purse at stake; bench/trial.py shows what others would cost
E_MAX: Final = 1e12  # beyond any threshold; a figure that can still be written down
_ROOM_MIN: Final = 1e-9  # a supposed mean at the very bound: then the first value off the bound refutes it


@dataclass(frozen=True, slots=True)
class Counted:
    """Every value that may occur, with how often it did; the smallest and the largest bound what can be lost."""

    values: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """Their mean; 0 where there are none."""
        total = self.total
        if not total:
            return 0.0
        return sum(value * count for value, count in zip(self.values, self.counts, strict=True)) / total

    def mirrored(self) -> Counted:
        """The same of the negated values."""
        return Counted(tuple(-value for value in self.values), self.counts)


def evidence_above(counted: Counted, mean: float) -> float:
    """The e-value against "the true mean is `mean` or less": 1 says nothing, 20 refutes it at 5 %."""
    room = max(_ROOM_MIN, mean - min(counted.values))
    seen = [(value - mean, count) for value, count in zip(counted.values, counted.counts, strict=True) if count]
    purses = [sum(count * log1p(bet / room * excess) for excess, count in seen) for bet in BETS]
    richest = max(purses)
    total = richest + log(sum(exp(purse - richest) for purse in purses) / len(purses))
    return exp(min(total, log(E_MAX)))


def evidence_below(counted: Counted, mean: float) -> float:
    """The e-value against "the true mean is `mean` or more"."""
    return evidence_above(counted.mirrored(), -mean)
