"""What a trial asks of a new model beside an old one, and how strongly the counts answer. Draws no verdict.

Each question is about the mean of one bounded figure of an input, which is small when the new model is good, and has
two suppositions: that the new model is as good as the old (refuted: it is refused), and that it is worse than the
settings allow (refuted: it may be adopted). Both are tested by `core.sequential`, so that every look is free.

The error rates of the settings are those of the whole trial. Refusing: any question may refuse, so the rate is split
among them (Boole's inequality). Adopting: all that are asked must agree to it, which needs no split (Berger's
intersection-union test, Technometrics 24, 1982).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from device_client.core.policy import TrialLimits
from device_client.core.trial.e_values import Counted, evidence_above, evidence_below
from device_client.core.trial.tally import DROP_BINS, Pairs

Subject = Literal["accuracy", "agreement", "confidence", "latency"]

# How the rate of wrong refusals is split. Most goes where inputs are dear: labels are rare, and a paired difference of
# a few points needs many; the others see every input and refuse what is gross.
SPLIT: Final[dict[Subject, float]] = {"accuracy": 0.7, "agreement": 0.1, "confidence": 0.1, "latency": 0.1}
NOISE: Final = 0.5  # up to this share of `confidence_drop_max` a model is as sure as the other
SLOW_EQUAL: Final = 0.05  # share of inputs over the limit: up to here the 95th percentile is within it
SLOW_WORSE: Final = 0.20
_DROPS: Final = tuple((at - DROP_BINS // 2) / (DROP_BINS // 2) for at in range(DROP_BINS))


@dataclass(frozen=True, slots=True)
class HypothesisResult:
    """How strongly the counts refute "as good as the old one" and "worse than allowed", and from when that decides."""

    subject: Subject
    e_equal: float
    e_worse: float
    equal_refuted_from: float
    worse_refuted_from: float
    figures: str

    @property
    def refuses(self) -> bool:
        """It is not as good as the old one."""
        return self.e_equal >= self.equal_refuted_from

    @property
    def accepts(self) -> bool:
        """It is not worse than allowed."""
        return self.e_worse >= self.worse_refuted_from


def ask_accuracy(pairs: Pairs, limits: TrialLimits) -> HypothesisResult:
    """Of labelled inputs: right or wrong, old minus new. Only those that one of the two got wrong speak."""
    same = max(0, pairs.labelled - pairs.only_old_right - pairs.only_new_right)
    drops = Counted((-1.0, 0.0, 1.0), (pairs.only_new_right, same, pairs.only_old_right))
    new, old = pairs.new_accuracy or 0.0, pairs.old_accuracy or 0.0
    figures = f"{pairs.new} {new:.0%}, {pairs.old} {old:.0%} right on {pairs.labelled} labelled inputs"
    return _answer("accuracy", drops, 0.0, limits.accuracy_drop_max, limits, figures)


def ask_agreement(pairs: Pairs, limits: TrialLimits) -> HypothesisResult:
    """Of all inputs: the same answer or not."""
    differed = max(0, pairs.answered - pairs.agreed)
    share = pairs.agreed / pairs.answered if pairs.answered else 0.0
    figures = f"{pairs.new} and {pairs.old} agree on {share:.0%} of {pairs.answered} live inputs"
    return _answer(
        "agreement",
        Counted((0.0, 1.0), (pairs.agreed, differed)),
        1.0 - limits.agreement_good,
        1.0 - limits.agreement_min,
        limits,
        figures,
    )


def ask_confidence(pairs: Pairs, limits: TrialLimits) -> HypothesisResult:
    """Of inputs that both gave a confidence for: by how much the new model is less sure, in tenths."""
    drops = Counted(_DROPS, pairs.confidence_drops)
    less = f"{abs(drops.mean):.2f} {'less' if drops.mean >= 0 else 'more'} sure"
    figures = f"the {pairs.new} is {less} than the {pairs.old} on {drops.total} live inputs"
    most = limits.confidence_drop_max
    return _answer("confidence", drops, most * NOISE, most, limits, figures)


def ask_latency(pairs: Pairs, limits: TrialLimits) -> HypothesisResult:
    """Of all inputs: longer than the settings allow beside the old model on the same input, or not."""
    slow = Counted((0.0, 1.0), (max(0, pairs.answered - pairs.slow), pairs.slow))
    figures = f"the {pairs.new} was too slow on {pairs.slow} of {pairs.answered} live inputs"
    if pairs.new_latency_ms_p95 is not None and pairs.old_latency_ms_p95 is not None:
        figures += f" ({pairs.new_latency_ms_p95:.1f} ms, the {pairs.old} {pairs.old_latency_ms_p95:.1f} ms: p95)"
    return _answer("latency", slow, SLOW_EQUAL, SLOW_WORSE, limits, figures)


def mean_drop(pairs: Pairs) -> float | None:
    """By how much the new model was less sure on average, -1 to 1; None where nobody gave a confidence."""
    return Counted(_DROPS, pairs.confidence_drops).mean if any(pairs.confidence_drops) else None


def _answer(
    subject: Subject, counted: Counted, equal: float, worse: float, limits: TrialLimits, figures: str
) -> HypothesisResult:
    return HypothesisResult(
        subject,
        e_equal=evidence_above(counted, equal),
        e_worse=evidence_below(counted, worse),
        equal_refuted_from=1.0 / (limits.equal_refused_max * SPLIT[subject]),
        worse_refuted_from=1.0 / limits.worse_adopted_max,
        figures=figures,
    )
