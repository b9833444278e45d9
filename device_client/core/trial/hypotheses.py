"""The hypotheses that a trial tests, and how strongly the counts refute them.

Each test is about the mean of one bounded figure per input, small where the new model
is good, and has two hypotheses: the new model is as good as the old one (refuted: it is
rejected), and it is worse than the settings allow (refuted: it may be adopted). Both
are tested with `e_values`, so that the counts may be read at any time. Draws no
verdict.

The error rates of the settings hold for the whole trial. Rejecting: any test may
reject, so the rate is split among them (Boole's inequality). Adopting: all tests must
agree, which needs no split (Berger's intersection-union test, Technometrics 24, 1982).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from device_client.core.policy import TrialLimits
from device_client.core.trial.e_values import Counted, evidence_above, evidence_below
from device_client.core.trial.tally import DROP_BINS, Comparison

Subject = Literal["accuracy", "agreement", "confidence", "latency"]

# of the rate of wrong rejections; most to accuracy, as labels are rare and many needed
SPLIT: Final[dict[Subject, float]] = {"accuracy": 0.7, "agreement": 0.1, "confidence": 0.1, "latency": 0.1}
NOISE: Final = 0.5  # up to this share of `confidence_drop_max` two models are equally sure
SLOW_EQUAL: Final = 0.05  # share of slow inputs up to which the 95th percentile is within the limit
SLOW_WORSE: Final = 0.20
_DROPS: Final = tuple((at - DROP_BINS // 2) / (DROP_BINS // 2) for at in range(DROP_BINS))


@dataclass(frozen=True, slots=True)
class HypothesisResult:
    """E-values against "as good" and "worse than allowed", with thresholds."""

    subject: Subject
    e_equal: float
    e_worse: float
    equal_refuted_from: float  # then the new model is refused
    worse_refuted_from: float  # then it is not worse than allowed
    figures: str

    @property
    def refuses(self) -> bool:
        return self.e_equal >= self.equal_refuted_from

    @property
    def accepts(self) -> bool:
        return self.e_worse >= self.worse_refuted_from


def compare_accuracy(models: Comparison, limits: TrialLimits) -> HypothesisResult:
    """Labelled inputs, old minus new: those that only one got wrong count."""
    tally = models.tally
    same = max(0, tally.labelled - tally.only_live_correct - tally.only_shadow_correct)
    drops = Counted((-1.0, 0.0, 1.0), (tally.only_shadow_correct, same, tally.only_live_correct))
    new, old = tally.shadow_accuracy or 0.0, tally.live_accuracy or 0.0
    figures = f"{models.new} {new:.0%}, {models.old} {old:.0%} right on {tally.labelled} labelled inputs"
    return _result("accuracy", drops, 0.0, limits.accuracy_drop_max, limits, figures)


def compare_answers(models: Comparison, limits: TrialLimits) -> HypothesisResult:
    """On all inputs: the same answer or not."""
    agreed, answered = models.tally.agreed, models.answered
    counted = Counted((0.0, 1.0), (agreed, max(0, answered - agreed)))
    share = agreed / answered if answered else 0.0
    figures = f"{models.new} and {models.old} agree on {share:.0%} of {answered} live inputs"
    return _result("agreement", counted, 1.0 - limits.agreement_good, 1.0 - limits.agreement_min, limits, figures)


def compare_confidence(models: Comparison, limits: TrialLimits) -> HypothesisResult:
    """Inputs with two confidences: how much less sure the new model is."""
    drops = Counted(_DROPS, models.tally.confidence_drops)
    less = f"{abs(drops.mean):.2f} {'less' if drops.mean >= 0 else 'more'} sure"
    figures = f"the {models.new} is {less} than the {models.old} on {drops.total} live inputs"
    most = limits.confidence_drop_max
    return _result("confidence", drops, most * NOISE, most, limits, figures)


def compare_latency(models: Comparison, limits: TrialLimits) -> HypothesisResult:
    """All inputs: slower than the settings allow relative to the old model or not."""
    tally, answered = models.tally, models.answered
    slow = Counted((0.0, 1.0), (max(0, answered - tally.shadow_slow), tally.shadow_slow))
    new_ms, old_ms = tally.shadow_latency_ms_p95, tally.live_latency_ms_p95
    figures = f"the {models.new} was too slow on {tally.shadow_slow} of {answered} live inputs"
    if new_ms is not None and old_ms is not None:
        figures += f" ({new_ms:.1f} ms, the {models.old} {old_ms:.1f} ms: p95)"
    return _result("latency", slow, SLOW_EQUAL, SLOW_WORSE, limits, figures)


def mean_drop(drops: tuple[int, ...]) -> float | None:
    """How much less sure the shadow was on average, -1 to 1; or None."""
    return Counted(_DROPS, drops).mean if any(drops) else None


def _result(
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
