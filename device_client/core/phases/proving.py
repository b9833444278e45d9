"""PROVING and SHADOWING: a candidate reproduces its golden outputs here, then answers beside the live model."""

from __future__ import annotations

from typing import Final

from device_client.core.effects import Announce, Prove, StartShadow, Step, StopTrial, TakeReadings, TakeTally
from device_client.core.events import ModelFailed, ProofEnded, ProofNotTried, TallyTaken, TimePassed
from device_client.core.phases import probation as living
from device_client.core.policy import Policy
from device_client.core.state import Finding, Installed, Phase, State, Target
from device_client.core.trial.evidence import with_shadow
from device_client.core.trial.proof_limits import proof_limits
from device_client.core.trial.verdict import judge_shadow
from device_client.core.variants import switching as refit
from device_client.core.variants.selection import too_slow_here
from protocol.messages.device import Evidence

NOT_TRIED_RECHECK_S: Final = 600.0


def begin(policy: Policy, state: State, now_s: float) -> Step:
    """Hand the candidate to the limited child process; wait where there is no memory for it, which may pass."""
    target = state.device.target
    assert target is not None  # the file that is ready belongs to a target
    limits = proof_limits(policy, target.manifest, target.variant, state.moment.readings)
    if isinstance(limits, str):
        return _later(state, target, limits, now_s), ()
    state = state.enters(
        Phase.PROVING, f"proving {target.version} against its golden outputs", now_s, evidence=Evidence()
    )
    return state, (Prove(target, limits),)


def proof_ended(policy: Policy, state: State, event: ProofEnded, now_s: float) -> Step:
    """Proved: on to the live inputs, or straight to live where there is nothing to compare with."""
    device, target = state.device, state.device.target
    if target is None or event.sha256 != target.variant.sha256:
        return state, ()
    evidence = device.evidence.model_copy(
        update={
            "golden_samples": event.samples,
            "golden_max_error": event.max_error,
            "golden_latency_ms_p50": event.latency_ms_p50,
            "proof_wall_s": event.child.wall_s if event.child else None,
            "proof_ended": event.child.ended if event.child else None,
            "proof_memory_peak_bytes": event.child.memory_peak_bytes if event.child else None,
        }
    )
    state = state.with_device(evidence=evidence)
    if not event.passed:
        return reject(state, event.reason, now_s)
    too_slow = too_slow_here(target.variant, event.latency_ms_p50, policy)
    if too_slow:
        return _choose_again(state, too_slow, event, now_s)
    if device.live is None or target.recalled:
        return living.go_live(policy, state, event.reason, now_s)
    reason = _shadowing(target.version, device.live.version)
    candidate = Installed(manifest=target.manifest, variant=target.variant)
    return state.enters(Phase.SHADOWING, reason, now_s), (StartShadow(candidate, policy.trial.shadow_share),)


def not_tried(policy: Policy, state: State, event: ProofNotTried, now_s: float) -> Step:
    """The device's own trouble says nothing of the candidate: its files stay, and it is tried once more later."""
    target = state.device.target
    if target is None or event.sha256 != target.variant.sha256:
        return state, ()
    return _later(state, target, event.reason, now_s), (StopTrial(),)


def _later(state: State, target: Target, reason: str, now_s: float) -> State:
    state = state.enters(Phase.DEFERRED, f"{target.version} could not be tried here: {reason}"[:500], now_s)
    return state.with_moment(next_check_s=now_s + NOT_TRIED_RECHECK_S)


def time_passed(policy: Policy, state: State, event: TimePassed, now_s: float) -> Step:
    """Look at the counts."""
    due = now_s >= state.moment.tally_at_s + policy.trial.poll_s
    return (state.with_moment(tally_at_s=now_s), (TakeTally(),)) if due else (state, ())


def shadow_counted(policy: Policy, state: State, event: TallyTaken, now_s: float) -> Step:
    """Enough evidence for a verdict, or not yet."""
    tally = event.tally
    state = state.with_moment(tally_at_s=now_s)
    verdict = judge_shadow(tally, now_s - state.moment.phase_since_s, policy.trial)
    if verdict is None or (verdict.allowed and event.held):
        return _stays_a_shadow(state, event.held if verdict else ""), ()
    evidence = with_shadow(state.device.evidence, tally, verdict, policy.trial)
    state = state.with_device(evidence=evidence)
    if verdict.allowed:
        return living.go_live(policy, state, verdict.reason, now_s)
    return reject(state, verdict.reason, now_s)


def _stays_a_shadow(state: State, held: str) -> State:
    """No verdict yet; or a good one, and the application lets nothing else answer for now (`held`: why)."""
    device, target = state.device, state.device.target
    assert target is not None  # it is the shadow
    assert device.live is not None  # it has a shadow
    waits = f"{target.version} may answer, and waits: the application holds updates: {held}"[:500]
    return state.with_device(reason=waits if held else _shadowing(target.version, device.live.version))


def _shadowing(candidate: str, live: str) -> str:
    return f"shadowing {candidate} beside {live} on live inputs"


def shadow_failed(policy: Policy, state: State, event: ModelFailed, now_s: float) -> Step:
    """The candidate passed its proof and still cannot be opened beside the live model."""
    target = state.device.target
    if target is None or event.sha256 != target.variant.sha256:
        return living.live_failed(policy, state, event, now_s)
    return reject(state, f"could not be opened beside the live model: {event.reason}", now_s)


def reject(state: State, reason: str, now_s: float) -> Step:
    """The candidate never goes live, and is not tried again unless the plan says so."""
    device, target = state.device, state.device.target
    assert target is not None  # only a target can be rejected
    if refit.is_of(device, target):
        return refit.given_up(state, "rejected", reason, now_s)
    live = device.live.version if device.live else None
    outcome = Announce(
        outcome="rejected",
        version=target.version,
        variant=target.variant.name,
        from_version=live,
        reason=reason[:500],
        plan_sequence=target.plan_sequence,
        attempt=target.attempt,
        evidence=device.evidence,
    )
    told = f"{target.version} was refused: {reason}; " + (f"{live} stays" if live else "no version is installed")
    state = state.enters(
        Phase.REJECTED, told[:500], now_s, target=None, refusals=device.refuses(target.version, target.attempt, reason)
    ).with_moment(download=None, assigned=None)
    return state, (StopTrial(), outcome, living.kept_files(state))


def _choose_again(state: State, reason: str, event: ProofEnded, now_s: float) -> Step:
    """It is right, and too slow for this device: the version may have a variant that is not."""
    device, target = state.device, state.device.target
    assert target is not None  # it has just been proved
    if refit.is_of(device, target):
        return refit.given_up(state, "rejected", reason, now_s, latency_ms=event.latency_ms_p50)
    finding = Finding(
        version=target.version,
        variant=target.variant.name,
        attempt=target.attempt,
        reason=reason,
        latency_ms=event.latency_ms_p50,
    )
    state = state.enters(Phase.ASSIGNED, reason, now_s, target=None, findings=device.finds(finding))
    state = state.with_moment(next_check_s=now_s, allowed_since_s=None)
    return state, (StopTrial(), living.kept_files(state), TakeReadings())
