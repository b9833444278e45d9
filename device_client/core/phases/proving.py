"""PROVING and SHADOWING: golden outputs first, then the live inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from device_client.core.effects import Prove, StartShadow, Step, StopTrial, TakeReadings, TakeTally, outcome_of
from device_client.core.events import ModelFailed, ProofEnded, ProofNotTried, TallyTaken, TimePassed
from device_client.core.evidence import with_proof, with_shadow
from device_client.core.phases import probation
from device_client.core.phases.records import Probation, Proving, Shadowing
from device_client.core.policy import Policy
from device_client.core.state import Installed, Phase, State, Target
from device_client.core.trial.proof_limits import proof_limits
from device_client.core.trial.verdict import judge_shadow
from device_client.core.variants import switching
from device_client.core.variants.selection import too_slow_here
from protocol.messages.device import Evidence

NOT_TRIED_RECHECK_S: Final = 600.0


def begin(policy: Policy, state: State, target: Target, now_s: float) -> Step:
    """Start the child process; wait where there is no memory for it."""
    limits = proof_limits(policy, target.manifest, target.variant, state.moment.seen.readings)
    if isinstance(limits, str):
        return _later(state, target, limits, now_s), ()
    reason = f"proving {target.version} against its golden outputs"
    return state.enters(Phase.PROVING, reason, now_s, evidence=Evidence()), (Prove(target, limits),)


def proof_ended(policy: Policy, state: State, proving: Proving, event: ProofEnded, now_s: float) -> Step:
    """Proved: shadow the live model, or go live at once where nothing is live."""
    device, target = state.device, proving.target
    if event.sha256 != target.variant.sha256:
        return state, ()
    state = state.with_device(evidence=with_proof(device.evidence, event))
    if not event.passed:
        return reject(state, target, event.reason, now_s)
    too_slow = too_slow_here(target.variant, event.latency_ms_p50, policy)
    if too_slow:
        return _select_again(state, target, too_slow, event, now_s)
    if device.live is None or target.recalled:
        return probation.go_live(policy, state, target, event.reason, now_s)
    reason = _shadowing(target.version, device.live.version)
    candidate = Installed(manifest=target.manifest, variant=target.variant)
    return state.enters(Phase.SHADOWING, reason, now_s), (StartShadow(candidate, policy.trial.shadow_share),)


def not_tried(policy: Policy, state: State, proving: Proving, event: ProofNotTried, now_s: float) -> Step:
    """Retry later: the device's own trouble is no evidence."""
    if event.sha256 != proving.target.variant.sha256:
        return state, ()
    return _later(state, proving.target, event.reason, now_s), (StopTrial(),)


def _later(state: State, target: Target, reason: str, now_s: float) -> State:
    reason = f"{target.version} could not be tried here: {reason}"
    return state.enters(Phase.DEFERRED, reason, now_s).waits_until(now_s + NOT_TRIED_RECHECK_S)


def time_passed(policy: Policy, state: State, trial: Shadowing | Probation, event: TimePassed, now_s: float) -> Step:
    """Read the counts when they are due."""
    due = now_s >= trial.times.tally_at_s + policy.trial.poll_s
    return (_counted(state, trial, now_s), (TakeTally(),)) if due else (state, ())


def shadow_counted(policy: Policy, state: State, shadowing: Shadowing, event: TallyTaken, now_s: float) -> Step:
    """Judge the candidate as soon as there is enough evidence."""
    tally, target = event.tally, shadowing.target
    state = _counted(state, shadowing, now_s)
    verdict = judge_shadow(tally, now_s - shadowing.times.since_s, policy.trial)
    if verdict is None or (verdict.allowed and event.held):
        return _stays_a_shadow(state, shadowing, event.held if verdict else ""), ()
    state = state.with_device(evidence=with_shadow(state.device.evidence, tally, verdict, policy.trial))
    if verdict.allowed:
        return probation.go_live(policy, state, target, verdict.reason, now_s)
    return reject(state, target, verdict.reason, now_s)


def _counted(state: State, trial: Shadowing | Probation, now_s: float) -> State:
    return state.with_moment(activity=replace(trial.times, tally_at_s=now_s))


def _stays_a_shadow(state: State, shadowing: Shadowing, held: str) -> State:
    candidate = shadowing.target.version
    waits = f"{candidate} may answer, and waits: the application holds updates: {held}"
    return state.with_device(reason=waits if held else _shadowing(candidate, shadowing.live.version))


def _shadowing(candidate: str, live: str) -> str:
    return f"shadowing {candidate} beside {live} on live inputs"


def shadow_failed(policy: Policy, state: State, shadowing: Shadowing, event: ModelFailed, now_s: float) -> Step:
    """Reject a candidate that cannot be opened beside the live model."""
    if event.sha256 != shadowing.target.variant.sha256:
        return probation.live_failed(policy, state, event, now_s)
    return reject(state, shadowing.target, f"could not be opened beside the live model: {event.reason}", now_s)


def reject(state: State, target: Target, reason: str, now_s: float) -> Step:
    """Drop the candidate, until the plan raises its attempt."""
    device = state.device
    if switching.changes_variant(device, target):
        return switching.give_up(state, target, "rejected", reason, now_s)
    live = device.live.version if device.live else None
    outcome = outcome_of(target, "rejected", live, reason, device.evidence)
    status = f"{target.version} was refused: {reason}; " + (f"{live} stays" if live else "no version is installed")
    refusals = device.refuses(target.version, target.attempt, reason)
    state = state.enters(Phase.REJECTED, status, now_s, target=None, refusals=refusals)
    return state.with_moment(assigned=None), (StopTrial(), outcome, probation.kept_files(state))


def _select_again(state: State, target: Target, reason: str, event: ProofEnded, now_s: float) -> Step:
    """The candidate is too slow here: another variant may not be."""
    latency_ms = event.latency_ms_p50
    if switching.changes_variant(state.device, target):
        return switching.give_up(state, target, "rejected", reason, now_s, latency_ms=latency_ms)
    findings = state.device.finds(target, reason, latency_ms)
    state = state.enters(Phase.ASSIGNED, reason, now_s, target=None, findings=findings).waits_until(now_s)
    state = state.with_moment(history=replace(state.moment.history, allowed_since_s=None))
    return state, (StopTrial(), probation.kept_files(state), TakeReadings())
