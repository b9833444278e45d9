"""The hypotheses that a trial tests, and how strongly the counts refute them.

Each test is about the mean of one bounded figure per input, small where the new model
is good, and has two hypotheses: the new model is as good as the old one (refuted: it is
rejected), and it is worse than the settings allow (refuted: it may be adopted). Both
are tested with `e_values`, so that the counts may be read at any time. Draws no
verdict.

The error rates of the settings hold for the whole trial. Rejecting: any test may
reject, so the rate is split among them, and that of `compare_each_answer` among at most
`ANSWERS_MAX` classes (Boole's inequality). Adopting: all tests must agree, which needs
no split (Berger's intersection-union test, Technometrics 24, 1982).

Which class an input counts for is set by the old model's answer, before the new one's
is known, so that the inputs of a class are a sequence of their own, with its own test.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Final, Literal

from device_client.core.policy import TrialLimits
from device_client.core.trial.bins import Bins, at_least, at_most, less_than_one, mean, total
from device_client.core.trial.e_values import Counted, evidence_above, evidence_below
from device_client.core.trial.tally import DROP_BINS, AnswerCount, Comparison

Subject = Literal["accuracy", "agreement", "each_answer", "variety", "confidence", "latency"]

# of the rate of wrong rejections; most to accuracy, as labels are rare and many needed
SPLIT: Final[dict[Subject, float]] = {
    "accuracy": 0.7,
    "agreement": 0.1,
    "each_answer": 0.05,  # twice: by likeness and by labels
    "confidence": 0.05,
    "latency": 0.05,
}
NOISE: Final = 0.5  # up to this share of `confidence_drop_max` two models are equally sure
SLOW_EQUAL: Final = 0.05  # share of slow inputs up to which the 95th percentile is within the limit
SLOW_WORSE: Final = 0.20
ANSWER_SEEN_MIN: Final = 4  # inputs that can show that a class is not lost
ANSWERS_MAX: Final = 32  # classes that are judged one by one; rarer ones are judged together
ANSWER_EQUAL: Final = 0.75  # of `agreement_min`: a class is easily harder than the average
ANSWER_WORSE: Final = 0.375
ANSWER_DROP_EQUAL: Final = 0.25  # of accuracy, on the labelled inputs of one class
ANSWER_DROP_WORSE: Final = 0.5
CONSTANT_UNLIKE: Final = 0.5  # share of a constant answer's unlikeness that no candidate may reach
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
    """Labelled inputs: how well the old answer fits, less how well the new one does."""
    tally = models.tally
    new, old = tally.shadow_accuracy or 0.0, tally.live_accuracy or 0.0
    figures = f"{models.new} {new:.0%}, {models.old} {old:.0%} right on {tally.labelled} labelled inputs"
    return _graded("accuracy", tally.accuracy_drops, -1.0, 0.0, limits.accuracy_drop_max, limits, figures)


def compare_answers(models: Comparison, limits: TrialLimits) -> HypothesisResult:
    """On all inputs: how unlike the two answers are, 0 to 1."""
    answered, share = models.answered, models.tally.agreement or 0.0
    figures = f"{models.new} and {models.old} agree on {share:.0%} of {answered} live inputs"
    good, worst = 1.0 - limits.agreement_good, 1.0 - limits.agreement_min
    return _graded("agreement", models.tally.unlike, 0.0, good, worst, limits, figures)


def compare_each_answer(models: Comparison, limits: TrialLimits) -> list[HypothesisResult]:
    """Whether the new model has lost an answer that the old one gives."""
    return [
        _compare_answer(models, each, limits)
        for each in models.tally.live_answers[:ANSWERS_MAX]
        if each.seen or each.known
    ]


def _compare_answer(models: Comparison, answer: AnswerCount, limits: TrialLimits) -> HypothesisResult:
    unlike, those = less_than_one(answer.alike), f"that the {models.old} answers with {answer.name}"
    figures = f"{models.new} and {models.old} agree on {mean(answer.alike):.0%} of {answer.seen} inputs {those}"
    if not answer.seen:
        figures = f"no input came {those}"
    good, worst = (1.0 - share * limits.agreement_min for share in (ANSWER_EQUAL, ANSWER_WORSE))
    return _graded("each_answer", unlike, 0.0, good, worst, limits, figures)


def compare_accuracy_of_each_answer(models: Comparison, limits: TrialLimits) -> list[HypothesisResult]:
    """The same by labels; where a class has too few of them, likeness does as well.

    A class that hardly came, and was not given before the trial, is not tested.
    """
    results = []
    for answer in models.tally.live_answers[:ANSWERS_MAX]:
        if answer.seen < ANSWER_SEEN_MIN and not answer.known:
            continue
        figures = (
            f"{models.new} is right less often by {mean(answer.drops):.2f} on {total(answer.drops)} labelled inputs"
        )
        figures += f" that the {models.old} answers with {answer.name}"
        drop = _graded("each_answer", answer.drops, -1.0, ANSWER_DROP_EQUAL, ANSWER_DROP_WORSE, limits, figures)
        alike = _compare_answer(models, answer, limits)
        results.append(replace(drop, e_worse=max(drop.e_worse, alike.e_worse) / 2))  # two tests, of which one is enough
    return results


def compare_variety(models: Comparison, limits: TrialLimits) -> HypothesisResult:
    """Whether the new model does better than one that always says the same.

    Never refuses: where the old model's answers do not vary, likeness to them says
    nothing.
    """
    contrasts = models.tally.contrasts
    figures = (
        f"the answers of the {models.old} to {total(contrasts)} inputs differ too little to compare the two by them"
    )
    return _graded("variety", contrasts, -CONSTANT_UNLIKE, 0.0, 0.0, limits, figures)


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


def _graded(
    subject: Subject, bins: Bins, low: float, equal: float, worse: float, limits: TrialLimits, figures: str
) -> HypothesisResult:
    """Each hypothesis gets of every bin the edge that speaks for it."""
    result = _result(subject, at_least(bins, low, 1.0), equal, worse, limits, figures)
    return replace(result, e_worse=evidence_below(at_most(bins, low, 1.0), worse))


def _result(
    subject: Subject, counted: Counted, equal: float, worse: float, limits: TrialLimits, figures: str
) -> HypothesisResult:
    return HypothesisResult(
        subject,
        e_equal=evidence_above(counted, equal),
        e_worse=evidence_below(counted, worse),
        equal_refuted_from=_tests(subject) / limits.equal_refused_max,
        worse_refuted_from=1.0 / limits.worse_adopted_max,
        figures=figures,
    )


def _tests(subject: Subject) -> float:
    """In how many parts a rate of wrong rejections goes for one of this subject."""
    share = SPLIT.get(subject)
    return inf if share is None else (ANSWERS_MAX if subject == "each_answer" else 1) / share
