"""What the live model and its shadow did on the same inputs: plain sums.

Before a swap the shadow is the candidate; on probation it is the previous model. A
`Comparison` names the two, with the new model always in the place of the shadow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from device_client.core.trial.bins import ONE, Bins, less_than_one, mean, merged, total

DROP_BINS: Final = 21  # of a difference of confidences, -1 to 1, in tenths


@dataclass(frozen=True, slots=True)
class AnswerCount:
    """The inputs that a model answered with one class; `name`: for people.

    `alike`: how alike the other answer was, 0 where it lacks the class. `drops`:
    of labelled ones, how much better the live model's answer fits than the shadow's.
    """

    name: str
    alike: Bins = ()
    drops: Bins = ()
    known: bool = False  # given before the trial too, so that it has to be seen

    @property
    def seen(self) -> int:
        return total(self.alike)


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over the inputs that both models got; latencies are processor time."""

    inputs: int = 0
    agreed: int = 0  # inputs with the same answer
    partly: Bins = ()  # how alike two answers were that were neither the same nor wholly unlike
    shadow_errors: int = 0
    labelled: int = 0
    both_correct: int = 0
    only_live_correct: int = 0  # labelled inputs on which the shadow was wrong
    only_shadow_correct: int = 0
    drops: Bins = ()  # labelled inputs that either fits in part: how much better the live model's answer fits
    partly_live: float = 0.0  # the sums of how well theirs fit
    partly_shadow: float = 0.0
    confidence_drops: tuple[int, ...] = ()  # how often the shadow was less sure by -1.0, -0.9 ... 1.0
    live_answers: tuple[AnswerCount, ...] = ()  # one by one
    shadow_answers: tuple[AnswerCount, ...] = ()
    contrasts: Bins = ()  # unlikeness of the two, less half that of the live model's answers to different inputs
    sealed: int = 0  # inputs of earlier days that both answered, counted in the three above
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
    def unlike(self) -> Bins:
        """Of all answered inputs, how unlike the two answers were."""
        apart = max(0, self.answered - self.agreed - total(self.partly))
        return merged(((0, self.agreed), (ONE, apart)), less_than_one(self.partly))

    @property
    def agreement(self) -> float | None:
        """How alike the answers are, 0-1, on average; None where both answered none."""
        alike = self.agreed + mean(self.partly) * total(self.partly)
        return alike / self.answered if self.answered > 0 else None

    @property
    def accuracy_drops(self) -> Bins:
        """Of all labelled inputs, how much better the live model's answer fits."""
        partly = total(self.drops)
        same = max(0, self.labelled - self.only_live_correct - self.only_shadow_correct - partly)
        whole = ((-ONE, self.only_shadow_correct), (0, same), (ONE, self.only_live_correct))
        return merged(whole, self.drops)

    @property
    def all_or_nothing(self) -> bool:
        """Whether there are labels, and every answer was either right or wrong."""
        return self.labelled > 0 and not self.drops

    @property
    def live_accuracy(self) -> float | None:
        """How well the answers fit, 0-1, on average."""
        right = self.both_correct + self.only_live_correct + self.partly_live
        return right / self.labelled if self.labelled else None

    @property
    def shadow_accuracy(self) -> float | None:
        right = self.both_correct + self.only_shadow_correct + self.partly_shadow
        return right / self.labelled if self.labelled else None

    def of_candidate(self) -> Comparison:
        return Comparison("candidate", "live model", self)

    def of_new_live(self) -> Comparison:
        swapped = replace(
            self,
            only_live_correct=self.only_shadow_correct,
            only_shadow_correct=self.only_live_correct,
            drops=_turned(self.drops),
            partly_live=self.partly_shadow,
            partly_shadow=self.partly_live,
            confidence_drops=self.confidence_drops[::-1],
            live_answers=tuple(replace(each, drops=_turned(each.drops)) for each in self.shadow_answers),
            shadow_answers=tuple(replace(each, drops=_turned(each.drops)) for each in self.live_answers),
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


def _turned(drops: Bins) -> Bins:
    return tuple((-at, count) for at, count in reversed(drops))
