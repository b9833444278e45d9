"""What a candidate must show on live inputs before it may answer, and what it must keep showing after.

A first, plain form: fixed counts. Labels, where they come, decide; without them agreement does, which can only say that
the candidate is alike, not that it is better. Pure.
"""

from __future__ import annotations

from device_client.core.conditions import Verdict
from device_client.core.policy import TrialLimits
from device_client.core.tally import Tally


def judge_shadow(tally: Tally, elapsed_s: float, limits: TrialLimits) -> Verdict | None:
    """Whether the candidate (the shadow) may go live, or None while there is not enough evidence."""
    if tally.shadow_errors > limits.errors_max:
        return Verdict(False, f"the candidate failed on {tally.shadow_errors} of {tally.inputs} live inputs")
    if tally.inputs >= limits.shadow_inputs:
        return _weigh(tally, limits, "candidate", tally.shadow_accuracy, "live model", tally.live_accuracy)
    if elapsed_s < limits.shadow_deadline_s:
        return None
    seen = f"only {tally.inputs} live inputs in {elapsed_s:.0f} s, {limits.shadow_inputs} are wanted"
    if tally.inputs:
        early = _weigh(tally, limits, "candidate", tally.shadow_accuracy, "live model", tally.live_accuracy)
        if not early.allowed:
            return early
    return Verdict(limits.without_evidence == "adopt", f"{seen}; the settings say to {limits.without_evidence}")


def judge_probation(tally: Tally, elapsed_s: float, limits: TrialLimits) -> Verdict | None:
    """Whether the new live model may stay, the previous one being its shadow; None while probation lasts."""
    if tally.live_errors > limits.errors_max:
        return Verdict(False, f"{tally.live_errors} of {tally.live_inferences} inferences failed on probation")
    enough = tally.live_inferences >= limits.probation_inputs
    if tally.inputs >= limits.probation_inputs:
        verdict = _weigh(tally, limits, "new model", tally.live_accuracy, "previous one", tally.shadow_accuracy)
        if not verdict.allowed:
            return verdict
    if elapsed_s >= limits.probation_min_s and enough:
        return Verdict(True, f"{tally.live_inferences} inferences on probation, {tally.live_errors} failed")
    if elapsed_s >= limits.probation_deadline_s:
        return Verdict(True, f"{elapsed_s:.0f} s on probation, {tally.live_inferences} inferences, none against it")
    return None


def _weigh(
    tally: Tally, limits: TrialLimits, new: str, new_accuracy: float | None, old: str, old_accuracy: float | None
) -> Verdict:
    slow = _too_slow(tally, limits, new)
    if slow is not None:
        return slow
    if tally.labelled >= limits.shadow_labelled and new_accuracy is not None and old_accuracy is not None:
        figures = f"{new} {new_accuracy:.0%}, {old} {old_accuracy:.0%} right on {tally.labelled} labelled inputs"
        return Verdict(new_accuracy >= old_accuracy - limits.accuracy_drop_max, figures)
    agreement = tally.agreement if tally.agreement is not None else 0.0
    figures = f"{new} and {old} agree on {agreement:.0%} of {tally.inputs} live inputs"
    if agreement < limits.agreement_min:
        return Verdict(False, f"{figures}, {limits.agreement_min:.0%} is wanted")
    return Verdict(True, figures)


def _too_slow(tally: Tally, limits: TrialLimits, new: str) -> Verdict | None:
    candidate_first = new == "candidate"
    new_ms = tally.shadow_latency_ms_p95 if candidate_first else tally.live_latency_ms_p95
    old_ms = tally.live_latency_ms_p95 if candidate_first else tally.shadow_latency_ms_p95
    if new_ms is None or old_ms is None or new_ms <= limits.latency_floor_ms:
        return None
    if new_ms <= old_ms * limits.latency_ratio_max:
        return None
    return Verdict(False, f"the {new} takes {new_ms:.1f} ms (p95) where the other takes {old_ms:.1f} ms")
