"""What the live model and its shadow did on the same inputs: plain sums.

Before a swap the shadow is the candidate; on probation it is the previous model. A
`Comparison` names the two, with the new model always in the place of the shadow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

DROP_BINS: Final = 21  # of a difference of confidences, -1 to 1, in tenths


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over the inputs that both models got.

    `live_inferences` and `live_errors` count every input. `only_live_correct`: labelled
    inputs on which the live model was right and the shadow wrong. `confidence_drops`:
    how often the shadow was less sure than the live model by -1.0, -0.9 ... 1.0.
    `live_slow`, `shadow_slow`: inputs on which one took longer than the settings allow
    relative to the other. Latencies are processor time. `live_under_way_s`,
    `shadow_under_way_s`: for how long one has been at an input that it has not
    answered. `live_drifting`: the drift detector reports inputs that the live model
    does not know.
    """

    inputs: int = 0
    agreed: int = 0
    shadow_errors: int = 0
    labelled: int = 0
    both_correct: int = 0
    only_live_correct: int = 0
    only_shadow_correct: int = 0
    confidence_drops: tuple[int, ...] = ()
    live_slow: int = 0
    shadow_slow: int = 0
    live_inferences: int = 0
    live_errors: int = 0
    live_latency_ms_p95: float | None = None
    shadow_latency_ms_p95: float | None = None
    live_under_way_s: float = 0.0
    shadow_under_way_s: float = 0.0
    live_drifting: bool = False

    @property
    def answered(self) -> int:
        """Inputs that both models answered."""
        return self.inputs - self.shadow_errors

    @property
    def agreement(self) -> float | None:
        """Share of inputs with the same answer, 0-1; None where both answered none."""
        return self.agreed / self.answered if self.answered > 0 else None

    @property
    def live_accuracy(self) -> float | None:
        """Share of the labelled inputs on which the live model was right."""
        return (self.both_correct + self.only_live_correct) / self.labelled if self.labelled else None

    @property
    def shadow_accuracy(self) -> float | None:
        """Share of the labelled inputs on which the shadow was right."""
        return (self.both_correct + self.only_shadow_correct) / self.labelled if self.labelled else None

    def of_candidate(self) -> Comparison:
        """The candidate, which is the shadow, with the live model."""
        return Comparison("candidate", "live model", self)

    def of_new_live(self) -> Comparison:
        """The new live model with the previous one, which is the shadow."""
        swapped = replace(
            self,
            only_live_correct=self.only_shadow_correct,
            only_shadow_correct=self.only_live_correct,
            confidence_drops=self.confidence_drops[::-1],
            live_slow=self.shadow_slow,
            shadow_slow=self.live_slow,
            live_latency_ms_p95=self.shadow_latency_ms_p95,
            shadow_latency_ms_p95=self.live_latency_ms_p95,
        )
        return Comparison("new model", "previous one", swapped)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models by name; in `tally` the new one is the shadow."""

    new: str
    old: str
    tally: Tally

    @property
    def answered(self) -> int:
        """Inputs that both answered."""
        return max(0, self.tally.answered)
