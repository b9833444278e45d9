"""What the live model and its shadow did on the same inputs: plain sums, from which verdicts are drawn.

Before a swap the shadow is the candidate; in probation it is the previous model. `Pairs` are the same sums as seen from
the new model, whichever of the two that is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DROP_BINS: Final = 21  # of a difference of confidences, -1 to 1, in tenths


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over the inputs that both models were given; `live_inferences` and `live_errors` count every input.

    `only_live_correct`: labelled inputs that the live model got right and the shadow wrong. `confidence_drops`: how
    often the shadow was less sure than the live model by -1.0, -0.9 ... 1.0. `live_slow`, `shadow_slow`: inputs on
    which the one took longer than the settings allow beside the other. Latencies are processor time.
    `live_under_way_s`, `shadow_under_way_s`: since when the one has been at an input that it has not answered yet.
    `live_drifting`: the drift detector says that the inputs are no longer what the live model knows.
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
        """Share of inputs with the same answer, 0-1; None before the first one that both answered."""
        return self.agreed / self.answered if self.answered > 0 else None

    @property
    def live_accuracy(self) -> float | None:
        """Share of the labelled inputs that the live model got right."""
        return (self.both_correct + self.only_live_correct) / self.labelled if self.labelled else None

    @property
    def shadow_accuracy(self) -> float | None:
        """Share of the labelled inputs that the shadow got right."""
        return (self.both_correct + self.only_shadow_correct) / self.labelled if self.labelled else None

    def of_candidate(self) -> Pairs:
        """The candidate beside the live model."""
        return Pairs(
            new="candidate",
            old="live model",
            answered=max(0, self.answered),
            agreed=self.agreed,
            labelled=self.labelled,
            only_new_right=self.only_shadow_correct,
            only_old_right=self.only_live_correct,
            new_accuracy=self.shadow_accuracy,
            old_accuracy=self.live_accuracy,
            confidence_drops=self.confidence_drops,
            slow=self.shadow_slow,
            new_latency_ms_p95=self.shadow_latency_ms_p95,
            old_latency_ms_p95=self.live_latency_ms_p95,
        )

    def of_new_live(self) -> Pairs:
        """The new live model beside the previous one."""
        return Pairs(
            new="new model",
            old="previous one",
            answered=max(0, self.answered),
            agreed=self.agreed,
            labelled=self.labelled,
            only_new_right=self.only_live_correct,
            only_old_right=self.only_shadow_correct,
            new_accuracy=self.live_accuracy,
            old_accuracy=self.shadow_accuracy,
            confidence_drops=self.confidence_drops[::-1],
            slow=self.live_slow,
            new_latency_ms_p95=self.live_latency_ms_p95,
            old_latency_ms_p95=self.shadow_latency_ms_p95,
        )


@dataclass(frozen=True, slots=True)
class Pairs:
    """What a new model and an old one did on the same inputs; `new` and `old` are their names in a sentence."""

    new: str
    old: str
    answered: int
    agreed: int
    labelled: int
    only_new_right: int
    only_old_right: int
    new_accuracy: float | None
    old_accuracy: float | None
    confidence_drops: tuple[int, ...]
    slow: int
    new_latency_ms_p95: float | None
    old_latency_ms_p95: float | None
