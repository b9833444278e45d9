"""How long a link waits, and how the waits grow. Pure: time and randomness come in as arguments."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

STEADY_S: Final = 5.0  # a connection that held this long was no failure
UNSTEADY_DOUBLINGS_MAX: Final = 3  # between connections that were accepted and then lost


@dataclass(frozen=True, slots=True)
class Backoff:
    """Between attempts a wait is drawn from `first_s` up to a bound that doubles, at most `most_s`."""

    first_s: float = 0.5
    most_s: float = 60.0
    refused_s: float = 60.0  # after wrong credentials: someone may mend the broker's password file
    connect_s: float = 10.0
    connack_s: float = 10.0
    flush_s: float = 2.0  # given to what is waiting, at stop

    def pause_s(self, failures: int, rng: random.Random, *, final: bool) -> float:
        """How long to wait after so many failures in a row; spread out, so that a fleet does not come back as one."""
        if final:
            return self.refused_s * rng.uniform(0.75, 1.25)
        bound_s = min(self.most_s, self.first_s * 2.0 ** min(failures, 20))
        return rng.uniform(min(self.first_s, bound_s), bound_s)


def failures_after(failures: int, *, accepted: bool, lived_s: float) -> int:
    """How many failures in a row there are, now that another connection has ended or not come about."""
    if accepted and lived_s >= STEADY_S:
        return 1
    # two clients of one name throw each other out: that must calm down, but a shaky line should not wait a minute
    return min(failures + 1, UNSTEADY_DOUBLINGS_MAX) if accepted else failures + 1
