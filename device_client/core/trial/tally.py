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
    """Counts over the inputs that both models got; latencies are processor time."""

    inputs: int = 0
    agreed: int = 0
    shadow_errors: int = 0
    labelled: int = 0
    both_correct: int = 0
    only_live_correct: int = 0  # labelled inputs on which the shadow was wrong
    only_shadow_correct: int = 0
    confidence_drops: tuple[int, ...] = ()  # how often the shadow was less sure by -1.0, -0.9 ... 1.0
    live_slow: int = 0  # inputs on which it took longer than the settings allow relative to the shadow
    shadow_slow: int = 0
    live_inferences: int = 0  # of every input, as `live_errors`
    live_errors: int = 0
    live_latency_ms_p95: float | None = None
    shadow_latency_ms_p95: float | None = None
    live_under_way_s: float = 0.0  # for how long it has been at an input that it has not answered
    shadow_under_way_s: float = 0.0
    live_drifting: bool = False  # the drift detector reports inputs that the live model does not know

    @property
    def answered(self) -> int:
        return self.inputs - self.shadow_errors

    @property
    def agreement(self) -> float | None:
        """Share of inputs with the same answer, 0-1; None where both answered none."""
        return self.agreed / self.answered if self.answered > 0 else None

    @property
    def live_accuracy(self) -> float | None:
        return (self.both_correct + self.only_live_correct) / self.labelled if self.labelled else None

    @property
    def shadow_accuracy(self) -> float | None:
        return (self.both_correct + self.only_shadow_correct) / self.labelled if self.labelled else None

    def of_candidate(self) -> Comparison:
        return Comparison("candidate", "live model", self)

    def of_new_live(self) -> Comparison:
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
        return max(0, self.tally.answered)
