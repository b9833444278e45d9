"""LIVE on probation, then COMMITTED or ROLLED_BACK: the swap, the watch after it, and the way back."""

from __future__ import annotations

from typing import Final

from device_client.core.effects import Announce, Effects, KeepOnly, StartShadow, Step, StopTrial, Swap, TakeTally
from device_client.core.events import ModelFailed, TallyTaken
from device_client.core.policy import Policy
from device_client.core.state import Device, Installed, Phase, State, Target
from device_client.core.trial.evidence import with_probation
from device_client.core.trial.verdict import judge_probation
from device_client.core.variants import switching as refit
from protocol.messages.device import Evidence, OutcomeKind

COMMITTED_KEPT: Final = 32  # version names


def go_live(policy: Policy, state: State, reason: str, now_s: float) -> Step:
    """Swap. The one that served so far stays on the disk as the way back, and shadows the new one on probation.

    A recalled version is on probation only until it is seen to be open.
    """
    device, target = state.device, state.device.target
    assert target is not None  # only a target goes live
    live = Installed(
        manifest=target.manifest,
        variant=target.variant,
        choice=target.said_choice(),
        latency_ms=device.evidence.golden_latency_ms_p50 or _known_latency_ms(device, target),
    )
    another = refit.is_of(device, target)
    back, behind = (device.live, device.previous) if another else (_way_back(device, target), None)
    told = f"{target.version} is live on probation: {reason}"[:500]
    target = target.model_copy(update={"restarts": 0})
    state = state.enters(
        Phase.PROBATION, told, now_s, live=live, previous=back, behind=behind, target=target
    ).with_moment(lost="")
    if target.recalled:
        return state, (StopTrial(), Swap(live), TakeTally())
    return state, (StopTrial(), Swap(live), *shadowed_by(policy, back))


def watch_again(policy: Policy, state: State, attempt: int, plan_sequence: int, now_s: float) -> Step:
    """Put on probation what is live and was never found good: an urgent plan came between, or it is given a new try."""
    device = state.device
    assert device.live is not None  # the plan names what is live
    manifest, variant = device.live.manifest, device.live.variant
    target = Target(
        manifest=manifest,
        variant=variant,
        encoding=variant.encodings[0],
        golden_encoding=manifest.golden.encodings[0],
        attempt=attempt,
        plan_sequence=plan_sequence,
        choice="it is installed",
    )
    told = f"{manifest.version} is live on probation: it was not yet found good, and the plan asks for it"
    state = state.enters(Phase.PROBATION, told, now_s, target=target, evidence=Evidence())
    return state, (StopTrial(), Swap(device.live), *shadowed_by(policy, device.previous))


def probation_counted(policy: Policy, state: State, event: TallyTaken, now_s: float) -> Step:
    """Commit, go back, or watch on."""
    device, tally = state.device, event.tally
    state = state.with_moment(tally_at_s=now_s)
    if device.target is not None and device.target.recalled:
        return _commit(state, f"{device.target.version} ran here before; the plan names it again", now_s)
    verdict = judge_probation(
        tally,
        now_s - state.moment.phase_since_s,
        policy.trial,
        beside=device.previous is not None,
        by_labels=device.evidence.shadow_decided_by == "accuracy",
        lost=bool(device.evidence.live_drifting),
    )
    if verdict is None:
        return state, ()
    state = state.with_device(evidence=with_probation(device.evidence, tally, verdict, policy.trial))
    if verdict.allowed:
        return _commit(state, verdict.reason, now_s)
    return roll_back(state, verdict.reason, now_s)


def roll_back(state: State, reason: str, now_s: float) -> Step:
    """Return to the previous version: one reference changes, no byte is fetched.

    A first version has nothing behind it: it is refused in name, and serves on until the plan names another.
    """
    device = state.device
    if device.refit:
        return refit.given_up(state, "rolled_back", reason, now_s)
    assert device.live is not None  # something on probation is live
    version, attempt = device.live.version, device.target.attempt if device.target else 1
    refusals = device.refuses(version, attempt, reason)
    if device.previous is None:
        told = f"{version} disappointed: {reason}; it serves on, for there is no earlier version"[:500]
        outcome = _outcome(state, "rejected", told)
        state = state.enters(Phase.REJECTED, told, now_s, target=None, refusals=refusals)
        return state, (StopTrial(), outcome)
    back = device.previous
    told = f"{version} was rolled back to {back.version}: {reason}"[:500]
    outcome = _outcome(state, "rolled_back", reason[:500])
    state = state.enters(
        Phase.ROLLED_BACK, told, now_s, live=back, previous=None, target=None, refusals=refusals
    ).with_moment(assigned=None)
    return state, (StopTrial(), Swap(back), outcome, kept_files(state))


def live_failed(policy: Policy, state: State, event: ModelFailed, now_s: float) -> Step:
    """The live model cannot be opened for serving: at its very swap that speaks against it, later against the disk.

    In the later case it is fetched anew, for the plan still asks for it; so it is when a power cut on probation left
    other bytes than were signed. A shadow that cannot be opened makes probation poorer, not impossible.
    """
    device = state.device
    if device.live is None or event.sha256 != device.live.variant.sha256:
        return state, ()
    version = device.live.version
    blamed = device.phase is Phase.PROBATION and not (event.damaged and _came_back_to(device))
    if blamed and device.previous is not None:
        return roll_back(state, f"could not be opened: {event.reason}", now_s)
    if blamed:
        told = f"{version} could not be opened, and there is no earlier version: {event.reason}"[:500]
        refusals = device.refuses(version, device.target.attempt if device.target else 1, event.reason)
        outcome = _outcome(state, "rejected", told)
        state = state.enters(Phase.REJECTED, told, now_s, live=None, target=None, refusals=refusals)
        return state, (StopTrial(), outcome, kept_files(state))
    told = f"the file of {version} could not be opened: {event.reason}"[:500]
    back = device.previous
    state = state.enters(Phase.IDLE, told, now_s, live=back, previous=None, target=None)
    lost = f"{told}; " + (f"{back.version} serves instead" if back else "nothing serves")
    state = state.with_moment(assigned=None, download=None, lost=lost)  # the reason is soon another: where it goes next
    return state, (StopTrial(), Swap(back)) if back else (StopTrial(),)


def shadowed_by(policy: Policy, previous: Installed | None) -> Effects:
    """On probation the previous version, if there is one, is given a small sample of the live inputs."""
    return (StartShadow(previous, policy.trial.probation_share),) if previous else ()


def kept_files(state: State) -> KeepOnly:
    """Current and previous are always kept, and what a target needs; whatever else a trial left goes."""
    return KeepOnly(state.device.files())


def _known_latency_ms(device: Device, target: Target) -> float | None:
    """From its earlier proof, of a file that is still here."""
    here = (each for each in device.installed() if each.variant.sha256 == target.variant.sha256)
    return next((each.latency_ms for each in here), None)


def _came_back_to(device: Device) -> bool:
    """Whether this probation was taken up at a start: the file was whole when it went live, in an earlier life.

    Another variant of a version is given up all the same: what served before it is as good.
    """
    return device.target is not None and device.target.restarts > 0 and not device.refit


def _way_back(device: Device, target: Target) -> Installed | None:
    """What served so far; but when that was never found good, the good one behind it."""
    live, behind = device.live, device.previous
    if live is None or live.version in device.committed or behind is None:
        return live
    return behind if behind.version in device.committed and behind.version != target.version else live


def _commit(state: State, reason: str, now_s: float) -> Step:
    device = state.device
    assert device.live is not None  # what is committed is live
    version = device.live.version
    committed = (*(other for other in device.committed if other != version), version)[-COMMITTED_KEPT:]
    refusals = tuple(refusal for refusal in device.refusals if refusal.version != version)
    outcome = _outcome(state, "adopted", reason[:500])
    state = state.enters(
        Phase.COMMITTED,
        f"runs {version}: {reason}{device.live.why()}"[:500],
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


def _outcome(state: State, kind: OutcomeKind, reason: str) -> Announce:
    device, target = state.device, state.device.target
    assert device.live is not None  # the outcome is about what is or was live
    return Announce(
        outcome=kind,
        version=device.live.version,
        variant=device.live.variant.name,
        from_version=device.previous.version if device.previous else None,
        reason=reason,
        plan_sequence=target.plan_sequence if target else (device.plan.sequence if device.plan else 0),
        attempt=target.attempt if target else 1,
        evidence=device.evidence,
        refit=device.refits if device.refit else 0,
    )
