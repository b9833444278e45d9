"""The only place where measurements of a trial become the wire record `Evidence`.

It is saved as it is sent, since a restart may lie between the parts.
"""

from __future__ import annotations

from device_client.core.events import ProofEnded
from device_client.core.policy import TrialLimits
from device_client.core.trial.hypotheses import mean_drop
from device_client.core.trial.tally import Tally
from device_client.core.trial.verdict import TrialVerdict
from protocol.messages.device import Evidence


def with_proof(evidence: Evidence, proof: ProofEnded) -> Evidence:
    child = proof.child
    return evidence.model_copy(
        update={
            "golden_samples": proof.samples,
            "golden_max_error": proof.max_error,
            "golden_latency_ms_p50": proof.latency_ms_p50,
            "proof_wall_s": child.wall_s if child else None,
            "proof_ended": child.ended if child else None,
            "proof_memory_peak_bytes": child.memory_peak_bytes if child else None,
        }
    )


def with_shadow(evidence: Evidence, tally: Tally, verdict: TrialVerdict, limits: TrialLimits) -> Evidence:
    return evidence.model_copy(
        update={
            "shadow_inputs": tally.inputs,
            "shadow_agreement": tally.agreement,
            "shadow_errors": tally.shadow_errors,
            "shadow_labelled": tally.labelled,
            "candidate_accuracy": tally.shadow_accuracy,
            "live_accuracy": tally.live_accuracy,
            "candidate_latency_ms_p95": tally.shadow_latency_ms_p95,
            "live_latency_ms_p95": tally.live_latency_ms_p95,
            "candidate_slow": tally.shadow_slow,
            "candidate_only_right": tally.only_shadow_correct if tally.all_or_nothing else None,
            "live_only_right": tally.only_live_correct if tally.all_or_nothing else None,
            "confidence_drop": mean_drop(tally.confidence_drops),
            "live_drifting": tally.live_drifting or None,
            "answers_compared": len(tally.live_answers) or None,
            "answers_unseen": sum(not each.seen for each in tally.live_answers) or None,
            "sealed_inputs": tally.sealed or None,
            "shadow_decided_by": verdict.decided_by,
            "shadow_e_equal": verdict.e_equal,
            "shadow_e_worse": verdict.e_worse,
            **_rates(limits),
        }
    )


def with_probation(evidence: Evidence, tally: Tally, verdict: TrialVerdict, limits: TrialLimits) -> Evidence:
    return evidence.model_copy(
        update={
            "probation_inferences": tally.live_inferences,
            "probation_errors": tally.live_errors,
            "probation_agreement": tally.agreement,
            "probation_inputs": tally.inputs,
            "probation_labelled": tally.labelled,
            "new_only_right": tally.only_live_correct if tally.all_or_nothing else None,
            "previous_only_right": tally.only_shadow_correct if tally.all_or_nothing else None,
            "probation_decided_by": verdict.decided_by,
            "probation_e_equal": verdict.e_equal,
            "probation_e_worse": verdict.e_worse,
            **_rates(limits),
        }
    )


def _rates(limits: TrialLimits) -> dict[str, float]:
    return {"equal_refused_max": limits.equal_refused_max, "worse_adopted_max": limits.worse_adopted_max}
