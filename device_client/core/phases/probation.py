"""PROBATION and what follows: the swap, the verdict, and the way back."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from device_client.core.effects import Announce, Effects, KeepOnly, StartShadow, Step, StopTrial, Swap, TakeTally
from device_client.core.events import ModelFailed, TallyTaken
from device_client.core.evidence import with_probation
from device_client.core.phases.records import Probation
from device_client.core.policy import Policy
from device_client.core.state import Device, Installed, Phase, State, Target
from device_client.core.trial.verdict import judge_probation
from device_client.core.variants import switching
from protocol.messages.device import Evidence, OutcomeKind

COMMITTED_KEPT: Final = 32  # version names


def go_live(policy: Policy, state: State, target: Target, reason: str, now_s: float) -> Step:
    """Swap; a recalled version is on probation only until it is known to be open."""
    device = state.device
    live = target.installed(device.evidence.golden_latency_ms_p50 or _known_latency_ms(device, target))
    another = switching.changes_variant(device, target)
    back, behind = (device.live, device.previous) if another else (_way_back(device, target), None)
    status = f"{target.version} is live on probation: {reason}"
    target = target.model_copy(update={"restarts": 0})
    state = state.enters(
        Phase.PROBATION, status, now_s, live=live, previous=back, behind=behind, target=target
    ).with_moment(lost="")
    if target.recalled:
        return state, (StopTrial(), Swap(live), TakeTally())
    return state, (StopTrial(), Swap(live), *shadowed_by(policy, back))


def watch_again(policy: Policy, state: State, live: Installed, attempt: int, plan_sequence: int, now_s: float) -> Step:
    """Put a live model on probation that has no verdict, as after an urgent plan."""
    manifest, variant = live.manifest, live.variant
    target = Target(
        manifest=manifest,
        variant=variant,
        encoding=variant.encodings[0],
        golden_encoding=manifest.golden.encodings[0],
        attempt=attempt,
        plan_sequence=plan_sequence,
        choice="it is installed",
        file_encodings=tuple(file.encodings[0] for file in manifest.files),
    )
    status = f"{manifest.version} is live on probation: it was not yet found good, and the plan asks for it"
    state = state.enters(Phase.PROBATION, status, now_s, target=target, evidence=Evidence())
    return state, (StopTrial(), Swap(live), *shadowed_by(policy, state.device.previous))


def probation_counted(policy: Policy, state: State, probation: Probation, event: TallyTaken, now_s: float) -> Step:
    """Commit, roll back, or continue."""
    device, live = state.device, probation.live
    state = state.with_moment(activity=replace(probation.times, tally_at_s=now_s))
    if probation.target is not None and probation.target.recalled:
        return _commit(state, live, f"{live.version} ran here before; the plan names it again", now_s)
    verdict = judge_probation(
        event.tally,
        now_s - probation.times.since_s,
        policy.trial,
        beside=device.previous is not None,
        by_labels=device.evidence.shadow_decided_by == "accuracy",
        lost=bool(device.evidence.live_drifting),
        shown=device.evidence.shadow_decided_by in ("accuracy", "agreement"),
    )
    if verdict is None:
        return state, ()
    state = state.with_device(evidence=with_probation(device.evidence, event.tally, verdict, policy.trial))
    if verdict.allowed:
        return _commit(state, live, verdict.reason, now_s)
    return roll_back(state, live, verdict.reason, now_s)


def roll_back(state: State, live: Installed, reason: str, now_s: float) -> Step:
    """Return to the previous version; without one, reject it and let it serve on."""
    device, back = state.device, state.device.previous
    if device.refit and device.target is not None:
        return switching.give_up(state, device.target, "rolled_back", reason, now_s)
    refusals = device.refuses(live.version, device.target.attempt if device.target else 1, reason)
    if back is None:
        status = f"{live.version} failed on probation: {reason}; it serves on, for there is no earlier version"
        outcome = _outcome(device, live, "rejected", status)
        state = state.enters(Phase.REJECTED, status, now_s, target=None, refusals=refusals)
        return state, (StopTrial(), outcome)
    status = f"{live.version} was rolled back to {back.version}: {reason}"
    outcome = _outcome(device, live, "rolled_back", reason)
    state = state.enters(
        Phase.ROLLED_BACK, status, now_s, live=back, previous=None, target=None, refusals=refusals
    ).with_moment(assigned=None)
    return state, (StopTrial(), Swap(back), outcome, kept_files(state))


def live_failed(policy: Policy, state: State, event: ModelFailed, now_s: float) -> Step:
    """The live model cannot be opened: at its swap by its fault, later by the disk's.

    In the later case, as after a power cut on probation, it is fetched again. A shadow
    that cannot be opened only leaves probation without a comparison.
    """
    device, live = state.device, state.device.live
    if live is None or event.sha256 != live.variant.sha256:
        return state, ()
    blamed = device.phase is Phase.PROBATION and not (event.damaged and _resumed(device))
    if blamed and device.previous is not None:
        return roll_back(state, live, f"could not be opened: {event.reason}", now_s)
    if blamed:
        status = f"{live.version} could not be opened, and there is no earlier version: {event.reason}"
        refusals = device.refuses(live.version, device.target.attempt if device.target else 1, event.reason)
        outcome = _outcome(device, live, "rejected", status)
        state = state.enters(Phase.REJECTED, status, now_s, live=None, target=None, refusals=refusals)
        return state, (StopTrial(), outcome, kept_files(state))
    status = f"the file of {live.version} could not be opened: {event.reason}"
    back = device.previous
    state = state.enters(Phase.IDLE, status, now_s, live=back, previous=None, target=None)
    lost = f"{status}; " + (f"{back.version} serves instead" if back else "nothing serves")
    state = state.with_moment(assigned=None, lost=lost)  # the reason of the next phase will hide this one
    return state, (StopTrial(), Swap(back)) if back else (StopTrial(),)


def shadowed_by(policy: Policy, previous: Installed | None) -> Effects:
    return (StartShadow(previous, policy.trial.probation_share),) if previous else ()


def kept_files(state: State) -> KeepOnly:
    return KeepOnly(state.device.files())


def _known_latency_ms(device: Device, target: Target) -> float | None:
    """From its earlier proof, where the file is still here."""
    sha256 = target.variant.sha256
    return next((each.latency_ms for each in device.installed() if each.variant.sha256 == sha256), None)


def _resumed(device: Device) -> bool:
    """Whether the process restarted since the file was known to be whole."""
    # another variant of a version is given up all the same: the one before is as good
    return device.target is not None and device.target.restarts > 0 and not device.refit


def _way_back(device: Device, target: Target) -> Installed | None:
    """What served so far; if never committed, the committed version behind it."""
    live, behind = device.live, device.previous
    if live is None or live.version in device.committed or behind is None:
        return live
    return behind if behind.version in device.committed and behind.version != target.version else live


def _commit(state: State, live: Installed, reason: str, now_s: float) -> Step:
    device, version = state.device, live.version
    committed = (*(other for other in device.committed if other != version), version)[-COMMITTED_KEPT:]
    refusals = tuple(refusal for refusal in device.refusals if refusal.version != version)
    outcome = _outcome(device, live, "adopted", reason)
    state = state.enters(
        Phase.COMMITTED,
        f"runs {version}: {reason}{live.because()}",
        now_s,
        target=None,
        committed=committed,
        refusals=refusals,
        previous=device.behind if device.refit else device.previous,
        behind=None,
        refits=device.refits if device.refit else 0,
        refit="",
    ).with_moment(assigned=None)
    return state, (StopTrial(), outcome, kept_files(state))


def _outcome(device: Device, live: Installed, kind: OutcomeKind, reason: str) -> Announce:
    target = device.target
    return Announce(
        outcome=kind,
        version=live.version,
        variant=live.variant.name,
        from_version=device.previous.version if device.previous else None,
        reason=reason,
        plan_sequence=target.plan_sequence if target else (device.plan.sequence if device.plan else 0),
        attempt=target.attempt if target else 1,
        evidence=device.evidence,
        refit=device.refits if device.refit else 0,
    )
