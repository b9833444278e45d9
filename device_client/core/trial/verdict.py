"""The verdicts of a trial: may the candidate serve, and may it stay.

Sequential: the counts may be read at any time, and a verdict is drawn as soon as they
allow one; `hypotheses` says how strongly they speak. Labels, where there are any,
decide: a candidate that is right more often may disagree. Without labels, agreement and
confidence decide, which can only show that the candidate is alike, not that it is
better; when the live model's inputs have drifted, disagreement with it does not reject
the candidate. Likeness says nothing where the live model always answers the same, nor
of a class that it gave no input: then there is not enough evidence. At the deadline
without a verdict, the settings say what follows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from device_client.core.policy import TrialLimits
from device_client.core.trial import hypotheses
from device_client.core.trial.hypotheses import HypothesisResult, Subject
from device_client.core.trial.tally import Comparison, Tally

LOST: Final = "the inputs have drifted away from what the live model knows, so that agreement with it says little"
DecidedBy = Subject | Literal["errors", "inferences", "deadline"]


@dataclass(frozen=True, slots=True)
class TrialVerdict:
    """Whether the new model may serve, why, and what decided."""

    allowed: bool
    reason: str
    decided_by: DecidedBy  # "deadline": not enough evidence
    e_equal: float | None = None  # e-value against "as good as the old one", where tested
    e_worse: float | None = None  # against "worse than allowed"


def judge_shadow(tally: Tally, elapsed_s: float, limits: TrialLimits) -> TrialVerdict | None:
    """Whether the candidate may go live; None while the evidence is not enough."""
    if tally.shadow_errors > limits.errors_max:
        return TrialVerdict(False, _failures(tally), "errors")
    if tally.shadow_under_way_s > limits.hang_s:
        return TrialVerdict(False, _hangs("candidate", tally.shadow_under_way_s), "errors")
    models, late = tally.of_candidate(), elapsed_s >= limits.shadow_deadline_s
    likeness = _likeness(models, limits, may_be_agreement=elapsed_s >= limits.labels_wait_s)
    verdict = _weigh(models, limits, likeness, lost=tally.live_drifting)
    if verdict is None and late and likeness != "agreement":
        verdict = _weigh(models, limits, "agreement", lost=tally.live_drifting)  # too few labels for accuracy
    if verdict is not None or not late:
        return verdict
    if tally.inputs and not models.answered:
        return TrialVerdict(False, _failures(tally), "errors")
    allowed = limits.without_evidence == "adopt"
    verdict = _undecided(models, elapsed_s, limits, likeness, allowed, limits.without_evidence)
    return replace(verdict, reason=f"{LOST}: {verdict.reason}") if tally.live_drifting else verdict


def judge_probation(
    tally: Tally,
    elapsed_s: float,
    limits: TrialLimits,
    *,
    beside: bool = True,
    by_labels: bool = False,
    lost: bool = False,
    shown: bool = False,
) -> TrialVerdict | None:
    """Whether the new live model may stay; None while probation lasts.

    `beside`: a previous model shadows it. `by_labels`: accuracy decided before the
    swap: disagreement, which may be why it is better, does not roll back. `lost`: nor
    where the previous model does not know these inputs; agreement still counts.
    `shown`: before the swap it gave every answer, and need not again.
    """
    if tally.live_errors > limits.errors_max:
        reason = f"{tally.live_errors} of {tally.live_inferences} inferences failed on probation"
        return TrialVerdict(False, reason, "errors")
    if tally.live_under_way_s > limits.hang_s:
        return TrialVerdict(False, _hangs("new model", tally.live_under_way_s), "errors")
    models, late = tally.of_new_live(), elapsed_s >= limits.probation_deadline_s
    waits_for_labels = by_labels or elapsed_s < limits.labels_wait_s
    likeness = _likeness(models, limits, may_be_agreement=not waits_for_labels)
    verdict = _weigh(models, limits, likeness, lost=lost, shown=shown)
    if verdict is None and late and likeness != "agreement" and not by_labels:
        verdict = _weigh(models, limits, "agreement", lost=lost, shown=shown)
    if verdict is not None and not verdict.allowed:
        return verdict
    if elapsed_s < limits.probation_min_s and not late:
        return None
    if verdict is not None:
        return verdict
    if not models.answered and (tally.live_inferences >= limits.probation_inferences or (late and not beside)):
        count = f"{tally.live_inferences} inferences on probation, {tally.live_errors} failed"
        return TrialVerdict(True, f"{count}; there is nothing to compare with", "inferences")
    if not late:
        return None
    allowed = limits.probation_without_evidence == "commit"
    choice = limits.probation_without_evidence.replace("_", " ")
    return _undecided(models, elapsed_s, limits, likeness, allowed, choice)


def _likeness(models: Comparison, limits: TrialLimits, *, may_be_agreement: bool) -> Subject | None:
    """What measures "as good": accuracy from the first label on."""
    if models.tally.labelled:
        return "accuracy"
    return "agreement" if may_be_agreement else None


def _weigh(
    models: Comparison, limits: TrialLimits, likeness: Subject | None, *, lost: bool, shown: bool = False
) -> TrialVerdict | None:
    """One bad result rejects; good ones in all tests, with likeness, adopt."""
    results = _compare(models, limits, likeness)
    harmless = {"agreement", "each_answer", "confidence"} if lost and likeness != "accuracy" else set()
    refusing = next((each for each in results if each.refuses and each.subject not in harmless), None)
    if refusing is not None:
        return _drawn(False, refusing)
    needless = {"each_answer", "variety"} if shown else set()
    if likeness is None or not all(each.accepts for each in results if each.subject not in needless):
        return None
    return _drawn(True, results[0])


def _compare(models: Comparison, limits: TrialLimits, likeness: Subject | None) -> list[HypothesisResult]:
    results = []
    if likeness == "accuracy":
        results.append(hypotheses.compare_accuracy(models, limits))
        results += hypotheses.compare_accuracy_of_each_answer(models, limits)
    if likeness == "agreement":
        results.append(hypotheses.compare_answers(models, limits))
        results += hypotheses.compare_each_answer(models, limits)
        if models.tally.contrasts:
            results.append(hypotheses.compare_variety(models, limits))
        if any(models.tally.confidence_drops):
            results.append(hypotheses.compare_confidence(models, limits))
    return [*results, hypotheses.compare_latency(models, limits)]


def _drawn(allowed: bool, result: HypothesisResult) -> TrialVerdict:
    return TrialVerdict(allowed, result.figures, result.subject, result.e_equal, result.e_worse)


def _failures(tally: Tally) -> str:
    return f"the candidate failed on {tally.shadow_errors} of {tally.inputs} live inputs"


def _hangs(new: str, under_way_s: float) -> str:
    return f"the {new} hangs: it has been at one live input for {under_way_s:.0f} s"


def _undecided(
    models: Comparison, elapsed_s: float, limits: TrialLimits, likeness: Subject | None, allowed: bool, choice: str
) -> TrialVerdict:
    so_far = f"not enough evidence in {elapsed_s:.0f} s"
    if not models.answered:
        return TrialVerdict(allowed, f"{so_far}, no input that both answered; the settings say to {choice}", "deadline")
    results = _compare(models, limits, likeness or "agreement")
    result = next((each for each in results if not each.accepts), results[0])
    reason = f"{so_far}, {result.figures}; the settings say to {choice}"
    return TrialVerdict(allowed, reason, "deadline", result.e_equal, result.e_worse)
