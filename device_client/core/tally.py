"""What the live model and its shadow did on the same inputs: plain sums, from which verdicts are drawn.

Before a swap the shadow is the candidate; in probation it is the previous model.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over the inputs that both models were given; `live_inferences` and `live_errors` count every input."""

    inputs: int = 0
    agreed: int = 0
    shadow_errors: int = 0
    labelled: int = 0
    live_correct: int = 0
    shadow_correct: int = 0
    live_inferences: int = 0
    live_errors: int = 0
    live_latency_ms_p95: float | None = None
    shadow_latency_ms_p95: float | None = None

    @property
    def agreement(self) -> float | None:
        """Share of inputs with the same answer, 0-1; None before the first one that both answered."""
        answered = self.inputs - self.shadow_errors
        return self.agreed / answered if answered else None

    @property
    def live_accuracy(self) -> float | None:
        """Share of the labelled inputs that the live model got right."""
        return self.live_correct / self.labelled if self.labelled else None

    @property
    def shadow_accuracy(self) -> float | None:
        """Share of the labelled inputs that the shadow got right."""
        return self.shadow_correct / self.labelled if self.labelled else None
