"""The timeouts of a link, and its waits between attempts. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

STEADY_S: Final = 5.0  # a connection that lasted this long was no failure
UNSTEADY_DOUBLINGS_MAX: Final = 3  # between connections that were accepted and then lost


@dataclass(frozen=True, slots=True)
class Backoff:
    """A wait is drawn from `wait_min_s` to a bound that doubles up to `wait_max_s`."""

    wait_min_s: float = 0.5
    wait_max_s: float = 60.0
    refused_wait_s: float = 60.0  # after wrong credentials, until they are corrected
    connect_timeout_s: float = 10.0
    connack_timeout_s: float = 10.0
    flush_timeout_s: float = 2.0  # for queued messages, at stop

    def wait_s(self, failures: int, rng: random.Random, *, final: bool) -> float:
        """The wait after a failure; random, as a fleet must not reconnect at once."""
        if final:
            return self.refused_wait_s * rng.uniform(0.75, 1.25)
        bound_s = min(self.wait_max_s, self.wait_min_s * 2.0 ** min(failures, 20))
        return rng.uniform(min(self.wait_min_s, bound_s), bound_s)


def failures_after(failures: int, *, accepted: bool, lasted_s: float) -> int:
    """The number of failures in a row after another connection failed or ended."""
    if accepted and lasted_s >= STEADY_S:
        return 1
    # two clients of one name disconnect each other: that must slow down, but an
    # unsteady line should not wait a minute
    return min(failures + 1, UNSTEADY_DOUBLINGS_MAX) if accepted else failures + 1
