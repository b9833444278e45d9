"""What a candidate must show on live inputs before it may answer, and what it must keep showing after.

A first, plain form: fixed counts. Labels, where they come, decide; without them agreement does, which can only say that
the candidate is alike, not that it is better. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from device_client.core.conditions import Verdict
from device_client.core.policy import TrialLimits
from device_client.core.tally import Tally


@dataclass(frozen=True, slots=True)
class Contender:
    """One of the two models that were given the same inputs."""

    name: str
    accuracy: float | None
    latency_ms_p95: float | None


def judge_shadow(tally: Tally, elapsed_s: float, limits: TrialLimits) -> Verdict | None:
    """Whether the candidate (the shadow) may go live, or None while there is not enough evidence."""
    if tally.shadow_errors > limits.errors_max:
        return Verdict(False, f"the candidate failed on {tally.shadow_errors} of {tally.inputs} live inputs")
    enough = tally.inputs >= limits.shadow_inputs
    if not enough and elapsed_s < limits.shadow_deadline_s:
        return None
    if tally.inputs:
        verdict = _weigh(tally, limits, _shadow(tally, "candidate"), _live(tally, "live model"))
        if enough or not verdict.allowed:
            return verdict
    seen = f"only {tally.inputs} live inputs in {elapsed_s:.0f} s, {limits.shadow_inputs} are wanted"
    return Verdict(limits.without_evidence == "adopt", f"{seen}; the settings say to {limits.without_evidence}")


def judge_probation(tally: Tally, elapsed_s: float, limits: TrialLimits) -> Verdict | None:
    """Whether the new live model may stay, the previous one being its shadow; None while probation lasts."""
    if tally.live_errors > limits.errors_max:
        return Verdict(False, f"{tally.live_errors} of {tally.live_inferences} inferences failed on probation")
    if tally.inputs >= limits.probation_inputs and tally.agreement is not None:  # a dumb previous one proves nothing
        verdict = _weigh(tally, limits, _live(tally, "new model"), _shadow(tally, "previous one"))
        if not verdict.allowed:
            return verdict
    if elapsed_s >= limits.probation_min_s and tally.live_inferences >= limits.probation_inputs:
        return Verdict(True, f"{tally.live_inferences} inferences on probation, {tally.live_errors} failed")
    if elapsed_s >= limits.probation_deadline_s:
        return Verdict(True, f"{elapsed_s:.0f} s on probation, {tally.live_inferences} inferences, none against it")
    return None


def _live(tally: Tally, name: str) -> Contender:
    return Contender(name, tally.live_accuracy, tally.live_latency_ms_p95)


def _shadow(tally: Tally, name: str) -> Contender:
    return Contender(name, tally.shadow_accuracy, tally.shadow_latency_ms_p95)


def _weigh(tally: Tally, limits: TrialLimits, new: Contender, old: Contender) -> Verdict:
    if _too_slow(limits, new, old):
        slow = f"the {new.name} takes {new.latency_ms_p95:.1f} ms (p95), the {old.name} {old.latency_ms_p95:.1f} ms"
        return Verdict(False, slow)
    if tally.labelled >= limits.shadow_labelled and new.accuracy is not None and old.accuracy is not None:
        right = f"{new.name} {new.accuracy:.0%}, {old.name} {old.accuracy:.0%} right"
        allowed = new.accuracy >= old.accuracy - limits.accuracy_drop_max
        return Verdict(allowed, f"{right} on {tally.labelled} labelled inputs")
    agreement = tally.agreement if tally.agreement is not None else 0.0
    figures = f"{new.name} and {old.name} agree on {agreement:.0%} of {tally.inputs} live inputs"
    if agreement < limits.agreement_min:
        return Verdict(False, f"{figures}, {limits.agreement_min:.0%} is wanted")
    return Verdict(True, figures)


def _too_slow(limits: TrialLimits, new: Contender, old: Contender) -> bool:
    if new.latency_ms_p95 is None or old.latency_ms_p95 is None:
        return False
    return new.latency_ms_p95 > max(limits.latency_floor_ms, old.latency_ms_p95 * limits.latency_ratio_max)
