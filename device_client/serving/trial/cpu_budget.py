"""A token bucket over processor time, which bounds how much a shadow may use.

A run is charged its average cost in advance and corrected later. Acceptance depends on
clock and cost, never on the input or answers: the sample is fair to both models.
"""

from __future__ import annotations

from threading import Lock
from typing import Final

BURST_S: Final = 2.0  # of wall time: unused budget accumulates for no longer than this


class CpuBudget:
    """The budget of one shadow. Any thread may call any method."""

    def __init__(self, cpu_percent: float, now_s: float) -> None:
        """`cpu_percent`: of one core, on average."""
        self._rate = cpu_percent / 100
        self._balance_max_s = self._balance_s = BURST_S * self._rate
        self._usual_cost_s = self._balance_max_s  # the first run, whose cost is unknown, takes the whole budget
        self._refilled_at_s = now_s
        self._lock = Lock()

    def charge(self, now_s: float) -> float | None:
        """Charge a run in advance; return the amount, or None if nothing is left."""
        with self._lock:
            gained_s = max(0.0, now_s - self._refilled_at_s) * self._rate
            self._refilled_at_s = now_s
            self._balance_s = min(self._balance_max_s, self._balance_s + gained_s)
            if self._balance_s <= 0:
                return None
            self._balance_s -= self._usual_cost_s
            return self._usual_cost_s

    def settle(self, charged_s: float, cost_s: float) -> None:
        """Correct a charge to what the run cost; 0 if it was not run."""
        with self._lock:
            self._balance_s += charged_s - cost_s
            if cost_s > 0:
                self._usual_cost_s = cost_s
