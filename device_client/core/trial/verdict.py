"""What a candidate must show on live inputs before it may answer, and what it must keep showing after: the verdicts.

Sequential: the counts may be looked at as often as one likes, and a verdict is drawn as soon as they allow one; how
strongly they speak is `core.questions`' to say. Labels, where they come, decide: a candidate that is right more often
may disagree. Without them agreement and confidence do, which can only say that the candidate is alike, not that it is
better; where the live model's inputs have drifted, to be unlike it refuses nobody. When time is up without a verdict,
that is an answer of its own, and the settings say what follows. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from device_client.core.policy import TrialLimits
from device_client.core.trial.hypotheses import (
    HypothesisResult,
    Subject,
    ask_accuracy,
    ask_agreement,
    ask_confidence,
    ask_latency,
)
from device_client.core.trial.tally import Pairs, Tally

LOST: Final = "the inputs have drifted away from what the live model knows, so that agreement with it says little"
DecidedBy = Subject | Literal["errors", "inferences", "deadline"]


@dataclass(frozen=True, slots=True)
class TrialVerdict:
    """Whether the new model may answer, why, and what decided; `deadline` is "not enough evidence".

    `e_equal`, `e_worse`: how strongly the counts refuted that the new model is as good as the old one, and that it is
    worse than allowed, where a question was asked. See `core.sequential`.
    """

    allowed: bool
    reason: str
    decided_by: DecidedBy
    e_equal: float | None = None
    e_worse: float | None = None


def judge_shadow(tally: Tally, elapsed_s: float, limits: TrialLimits) -> TrialVerdict | None:
    """Whether the candidate (the shadow) may go live, or None while there is not enough evidence and still time."""
    if tally.shadow_errors > limits.errors_max:
        return TrialVerdict(False, _failures(tally), "errors")
    if tally.shadow_under_way_s > limits.hang_s:
        return TrialVerdict(False, _hangs("candidate", tally.shadow_under_way_s), "errors")
    pairs, late = tally.of_candidate(), elapsed_s >= limits.shadow_deadline_s
    likeness = _likeness(pairs, limits, may_be_agreement=elapsed_s >= limits.labels_wait_s)
    verdict = _weigh(pairs, limits, likeness, lost=tally.live_drifting)
    if verdict is None and late and likeness != "agreement":
        verdict = _weigh(pairs, limits, "agreement", lost=tally.live_drifting)  # too few labels: what there is must do
    if verdict is not None or not late:
        return verdict
    if tally.inputs and not pairs.answered:
        return TrialVerdict(False, _failures(tally), "errors")
    allowed = limits.without_evidence == "adopt"
    verdict = _undecided(pairs, elapsed_s, limits, likeness, allowed, limits.without_evidence)
    return replace(verdict, reason=f"{LOST}: {verdict.reason}") if tally.live_drifting else verdict


def judge_probation(
    tally: Tally,
    elapsed_s: float,
    limits: TrialLimits,
    *,
    beside: bool = True,
    by_labels: bool = False,
    lost: bool = False,
) -> TrialVerdict | None:
    """Whether the new live model may stay, the previous one being its shadow; None while probation lasts.

    `beside`: there is a previous model at all. `by_labels`: accuracy let the new one go live, so that disagreement,
    which may be why it is better, is nothing to go back for. `lost`: nor is it where the previous one does not know
    the inputs that now come; but agreement still speaks for the new one.
    """
    if tally.live_errors > limits.errors_max:
        told = f"{tally.live_errors} of {tally.live_inferences} inferences failed on probation"
        return TrialVerdict(False, told, "errors")
    if tally.live_under_way_s > limits.hang_s:
        return TrialVerdict(False, _hangs("new model", tally.live_under_way_s), "errors")
    pairs, late = tally.of_new_live(), elapsed_s >= limits.probation_deadline_s
    patient = by_labels or elapsed_s < limits.labels_wait_s
    likeness = _likeness(pairs, limits, may_be_agreement=not patient)
    verdict = _weigh(pairs, limits, likeness, lost=lost)
    if verdict is None and late and likeness != "agreement" and not by_labels:
        verdict = _weigh(pairs, limits, "agreement", lost=lost)
    if verdict is not None and not verdict.allowed:
        return verdict
    if elapsed_s < limits.probation_min_s and not late:
        return None
    if verdict is not None:
        return verdict
    if not pairs.answered and (tally.live_inferences >= limits.probation_inferences or (late and not beside)):
        told = f"{tally.live_inferences} inferences on probation, {tally.live_errors} failed"
        return TrialVerdict(True, f"{told}; there is nothing to compare with", "inferences")
    if not late:
        return None
    allowed = limits.probation_without_evidence == "commit"
    choice = limits.probation_without_evidence.replace("_", " ")
    return _undecided(pairs, elapsed_s, limits, likeness, allowed, choice)


def _likeness(pairs: Pairs, limits: TrialLimits, *, may_be_agreement: bool) -> Subject | None:
    """What stands for "as good": accuracy from the first label on, else agreement, once labels were waited for."""
    if pairs.labelled:
        return "accuracy"
    return "agreement" if may_be_agreement else None


def _weigh(pairs: Pairs, limits: TrialLimits, likeness: Subject | None, *, lost: bool = False) -> TrialVerdict | None:
    """One bad answer refuses; good ones to all that is asked adopt, likeness among them.

    `lost`: the old model does not know these inputs, and being unlike it refuses nobody.
    """
    answers = _ask(pairs, limits, likeness)
    harmless = {"agreement", "confidence"} if lost else set()
    refusing = next((answer for answer in answers if answer.refuses and answer.subject not in harmless), None)
    if refusing is not None:
        return _drawn(False, refusing)
    if likeness is None or not all(answer.accepts for answer in answers):
        return None
    return _drawn(True, answers[0])


def _ask(pairs: Pairs, limits: TrialLimits, likeness: Subject | None) -> list[HypothesisResult]:
    answers = []
    if likeness == "accuracy":
        answers.append(ask_accuracy(pairs, limits))
    if likeness == "agreement":
        answers.append(ask_agreement(pairs, limits))
        if any(pairs.confidence_drops):
            answers.append(ask_confidence(pairs, limits))
    return [*answers, ask_latency(pairs, limits)]


def _drawn(allowed: bool, answer: HypothesisResult) -> TrialVerdict:
    return TrialVerdict(allowed, answer.figures, answer.subject, answer.e_equal, answer.e_worse)


def _failures(tally: Tally) -> str:
    return f"the candidate failed on {tally.shadow_errors} of {tally.inputs} live inputs"


def _hangs(new: str, under_way_s: float) -> str:
    return f"the {new} hangs: it has been at one live input for {under_way_s:.0f} s"


def _undecided(
    pairs: Pairs, elapsed_s: float, limits: TrialLimits, likeness: Subject | None, allowed: bool, choice: str
) -> TrialVerdict:
    """Time is up; the evidence so far is told, though it decides nothing."""
    told = f"not enough evidence in {elapsed_s:.0f} s"
    if not pairs.answered:
        return TrialVerdict(allowed, f"{told}, no input that both answered; the settings say to {choice}", "deadline")
    answer = _ask(pairs, limits, likeness or "agreement")[0]
    reason = f"{told}, {answer.figures}; the settings say to {choice}"
    return TrialVerdict(allowed, reason, "deadline", answer.e_equal, answer.e_worse)
