"""How much processor time a shadow may still use. Reads no clock; times are arguments, and no model is known here.

A purse that fills with time, up to what a burst may take, and pays for each run: its usual price beforehand, so that a
queue cannot be bought on credit, and the difference after. Whether an input is taken depends on the clock and on what
earlier runs cost, never on this input or its answers: such a sample is fair to both models.
"""

from __future__ import annotations

from threading import Lock
from typing import Final

BURST_S: Final = 2.0  # of wall time: what was not used in a quiet hour is not saved up for longer than that


class CpuBudget:
    """For one shadow. Any thread may call any method."""

    def __init__(self, cpu_percent: float, now_s: float) -> None:
        """`cpu_percent`: of one core, on average."""
        self._rate = cpu_percent / 100
        self._most_s = self._held_s = BURST_S * self._rate
        self._usual_s = self._most_s  # the first run costs nobody knows what: it runs alone
        self._filled_at_s = now_s
        self._lock = Lock()

    def take(self, now_s: float) -> float | None:
        """Pay for one run beforehand: what was paid, for `settle`; None when there is nothing left to pay from."""
        with self._lock:
            gained_s = max(0.0, now_s - self._filled_at_s) * self._rate
            self._filled_at_s = now_s
            self._held_s = min(self._most_s, self._held_s + gained_s)
            if self._held_s <= 0:
                return None
            self._held_s -= self._usual_s
            return self._usual_s

    def settle(self, paid_s: float, cost_s: float) -> None:
        """What the run did cost, in processor time; 0 for one that was left out."""
        with self._lock:
            self._held_s += paid_s - cost_s
            if cost_s > 0:
                self._usual_s = cost_s
