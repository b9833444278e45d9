"""From a plan to a target: what this device should run, whether to begin now, and with which variant."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from device_client.core.conditions.conditions import ConditionQuery, Needs, Verdict, judge
from device_client.core.conditions.readings import Unknown
from device_client.core.effects import Effects, Step, StopTrial, TakeReadings
from device_client.core.phases import fetching
from device_client.core.phases import probation as living
from device_client.core.policy import Policy, Smart
from device_client.core.state import ON_TRIAL, RESTING, WAITING, Device, Installed, Phase, Refusal, State, Target
from device_client.core.strategy.quality_score import Score, presses, score
from device_client.core.strategy.strategies import Decision, Occasion, decide, glance_s, pause_min_s
from device_client.core.variants import switching as refit
from device_client.core.variants.selection import VariantSelection
from protocol.messages.plan import Assignment, Plan

NO_VARIANT_RECHECK_S: Final = 600.0
READINGS_RETRY_S: Final = 5.0
HELD: Final = "the publisher holds this release"


def reconsider(policy: Policy, state: State, now_s: float) -> Step:
    """Hold what the device is doing against the plan, and change course where they differ."""
    device, plan = state.device, state.device.plan
    if plan is None:
        return state, ()
    wanted = plan.assign(policy.device, policy.groups)
    if device.phase is Phase.PROBATION and not _breaks_off_probation(device, wanted, plan):
        return state, ()  # the verdict first: what is live now must be known to be good before anything else comes
    runs_it = device.live is not None and wanted is not None and device.live.version == wanted.version
    state, undone = refit.dropped(state) if device.refit and not runs_it else (state, ())
    state, effects = _change_course(policy, state, wanted, plan, now_s)
    return state, (*undone, *effects)


def _change_course(policy: Policy, state: State, wanted: Assignment | None, plan: Plan, now_s: float) -> Step:
    device = state.device
    if wanted is None:
        return _rest(state, Phase.IDLE, f"plan {plan.sequence} names no version for this device", now_s)
    refusal = device.refused(wanted.version, wanted.attempt)
    if refusal is not None:
        return _refuse(state, refusal, now_s)
    if device.live is not None and device.live.version == wanted.version and not device.refit:
        return _stay(policy, state, wanted, plan, now_s)
    if device.phase not in RESTING | WAITING:
        return _in_flight(state, wanted, plan, now_s)
    return _assign(state, wanted, plan, now_s)


def consider_beginning(policy: Policy, state: State, now_s: float) -> Step:
    """Begin the assigned update, or say why not yet and when to look again."""
    plan = state.device.plan
    wanted = plan.assign(policy.device, policy.groups) if plan else None
    if plan is None or wanted is None:
        return state, ()
    if plan.hold:
        return _defer(state, HELD, None, now_s), ()
    slot_s = state.moment.assigned_at_s + plan.start_delay_s(policy.device)
    if now_s < slot_s and plan.urgency != "urgent":
        return _defer(state, f"starts in its own slot of the {plan.spread_s} s spread", slot_s, now_s), ()
    if not _readings_are_fresh(policy, state, now_s):
        return state.with_moment(next_check_s=now_s + READINGS_RETRY_S), (TakeReadings(),)
    return _choose_and_begin(policy, state, plan, wanted, now_s)


def glance_at_s(policy: Policy, state: State) -> float | None:
    """When the readings are to be taken anew although nothing is due yet; None when they may grow old."""
    age_s = glance_s(policy.strategy, by_the_clock=bool(policy.thresholds.hours))
    at_s = state.moment.readings_at_s
    waiting = state.moment.next_check_s is not None and state.device.phase is not Phase.STALLED
    return at_s + age_s if waiting and age_s is not None and at_s is not None else None


def resume_stalled(policy: Policy, state: State, now_s: float) -> Step:
    """Try a stalled download once more, from what is on the disk."""
    device = state.device
    if device.plan is not None and device.plan.hold:
        return _defer(state, HELD, None, now_s), ()
    if device.refit:
        return refit.chosen_again(state, now_s)
    return fetching.begin(state, device.target, now_s) if device.target else (state, ())


def _choose_and_begin(policy: Policy, state: State, plan: Plan, wanted: Assignment, now_s: float) -> Step:
    choice, device = refit.choice_for(policy, state, wanted), state.device
    if device.refit and (isinstance(choice, str) or refit.is_live(device, choice)):
        return _stay(policy, state, wanted, plan, now_s)  # the situation is as it was before
    if isinstance(choice, str):
        return _defer(state, choice, now_s + NO_VARIANT_RECHECK_S, now_s), ()
    # an empty device has no comfort to lose; another variant of what runs anyway is never urgent
    urgent = (plan.urgency == "urgent" or device.live is None) and not device.refit
    scored = _score(policy, state)
    verdict = _judge(policy, state, needs(state, choice), urgent, scored, now_s)
    state = state.with_moment(crossed=verdict.crossed)
    since_s = state.moment.allowed_since_s if state.moment.allowed_since_s is not None else now_s
    state = state.with_moment(allowed_since_s=since_s if verdict.allowed else None)
    decision = _decide(policy, state, verdict, urgent, scored, now_s)
    state = state.with_moment(interval_s=decision.interval_s)
    if decision.looked:
        state = state.with_moment(checked_at_s=now_s)
    if not decision.begin:
        return _defer(state, decision.reason, decision.next_check_s, now_s), ()
    target = Target(
        manifest=device.manifests[wanted.version],
        variant=choice.variant,
        encoding=choice.encoding,
        golden_encoding=choice.golden_encoding,
        attempt=wanted.attempt,
        plan_sequence=plan.sequence,
        choice=choice.reason,
        recalled=wanted.version in device.committed and not device.refit,
    )
    pressed = _pressed(policy, urgent, scored)
    return fetching.begin(state, target, now_s, because=f"; comfort is waived: {pressed.told}" if pressed else "")


def needs(state: State, choice: VariantSelection) -> Needs:
    """What an update takes: the encoding and the file it becomes are on the disk together for a moment."""
    at_hand = state.device.has_file(choice.variant.sha256)  # a way back needs no room
    return Needs(
        disk_bytes=0 if at_hand else choice.encoding.tree.size_bytes + choice.variant.size_bytes,
        memory_bytes=choice.variant.requires.memory_bytes,
        relieves=refit.relieves(state.device, choice.variant),
    )


def _score(policy: Policy, state: State) -> Score | None:
    """How the live model does, where the strategy asks."""
    if not isinstance(policy.strategy, Smart):
        return None
    live = state.device.live
    return score(policy.strategy, state.moment.readings.quality, live.variant.measured.accuracy if live else None)


def _judge(policy: Policy, state: State, needs: Needs, urgent: bool, scored: Score | None, now_s: float) -> Verdict:
    readings = replace(state.moment.readings, local_time=_local_time(state, now_s))
    question = ConditionQuery(readings, policy.thresholds, needs, state.moment.crossed)
    if _pressed(policy, urgent, scored):
        return judge(question, urgent=True, because="the live model does badly")
    return judge(question, urgent=urgent)


def _pressed(policy: Policy, urgent: bool, scored: Score | None) -> Score | None:
    """The score that alone waives comfort; None where nothing does, or the plan does already."""
    if urgent or scored is None or not isinstance(policy.strategy, Smart):
        return None
    return scored if presses(policy.strategy, scored.value) else None


def _decide(
    policy: Policy, state: State, verdict: Verdict, urgent: bool, scored: Score | None, now_s: float
) -> Decision:
    occasion = Occasion(
        verdict=verdict,
        now_s=now_s,
        local_time=_local_time(state, now_s),
        checked_at_s=state.moment.checked_at_s,
        allowed_since_s=state.moment.allowed_since_s,
        urgent=urgent,
        score=scored,
        interval_s=state.moment.interval_s,
    )
    return decide(policy.strategy, occasion)


def _local_time(state: State, now_s: float) -> datetime | Unknown:
    """What the clock on the wall shows by now; the readings are a little older."""
    read, at_s = state.moment.readings.local_time, state.moment.readings_at_s
    if isinstance(read, Unknown) or at_s is None:
        return read
    return (read.astimezone(UTC) + timedelta(seconds=now_s - at_s)).astimezone(read.tzinfo)


def _readings_are_fresh(policy: Policy, state: State, now_s: float) -> bool:
    at_s = state.moment.readings_at_s
    return at_s is not None and now_s < at_s + min(policy.readings_fresh_s, pause_min_s(policy.strategy))


def _assign(state: State, wanted: Assignment, plan: Plan, now_s: float) -> Step:
    if state.device.phase in WAITING and state.moment.assigned == (wanted.version, wanted.attempt):
        return state.with_moment(next_check_s=now_s), ()
    reason = state.device.refit or f"plan {plan.sequence} asks for {wanted.version} ({wanted.rule})"
    state = state.enters(Phase.ASSIGNED, reason, now_s, target=None)
    state = state.with_moment(
        assigned=(wanted.version, wanted.attempt),
        assigned_at_s=now_s,
        allowed_since_s=None,
        download=None,
        next_check_s=now_s + READINGS_RETRY_S,
    )
    return state, (TakeReadings(),)


def _in_flight(state: State, wanted: Assignment, plan: Plan, now_s: float) -> Step:
    target = state.device.target
    if target is None or (target.version, target.attempt) != (wanted.version, wanted.attempt):
        state, effects = _assign(state, wanted, plan, now_s)
        return state, (StopTrial(), *effects)
    if plan.hold:
        return _defer(state, HELD, None, now_s), (StopTrial(),)
    return state, ()


def _breaks_off_probation(device: Device, wanted: Assignment | None, plan: Plan) -> bool:
    """Only a way back, or something urgent, does not wait for the verdict."""
    if wanted is None or device.refused(wanted.version, wanted.attempt) is not None:
        return False
    if device.live is not None and device.live.version == wanted.version:
        return False
    recalls = any(each is not None and each.version == wanted.version for each in (device.previous, device.behind))
    return recalls or plan.urgency == "urgent"


def _why(policy: Policy, live: Installed) -> str:
    """Why this variant; or, when the settings have changed since, that it serves on until a better one is found."""
    problem = refit.objection(policy, live)
    return f"; the settings speak against its variant, others are looked at: {problem}" if problem else live.why()


def _stay(policy: Policy, state: State, wanted: Assignment, plan: Plan, now_s: float) -> Step:
    if wanted.version in state.device.committed:
        told = _why(policy, state.device.live) if state.device.live else ""
        reason = f"runs {wanted.version}, as plan {plan.sequence} asks ({wanted.rule}){told}"[:500]
        return _rest(state, Phase.COMMITTED, reason, now_s)
    return living.watch_again(policy, state.with_moment(download=None), wanted.attempt, plan.sequence, now_s)


def _refuse(state: State, refusal: Refusal, now_s: float) -> Step:
    device = state.device
    refused = device.phase in {Phase.REJECTED, Phase.ROLLED_BACK} and device.target is None
    if refused and device.refusals[-1] == refusal:
        return state, ()  # it has just been told, in better words
    phase = Phase.ROLLED_BACK if device.phase is Phase.ROLLED_BACK else Phase.REJECTED
    return _rest(state, phase, f"{refusal.version} was refused: {refusal.reason}", now_s)


def _rest(state: State, phase: Phase, reason: str, now_s: float) -> Step:
    if state.device.phase is phase and state.device.reason == reason and state.device.target is None:
        return state, ()
    stop: Effects = (StopTrial(),) if state.device.phase in ON_TRIAL | {Phase.FETCHING} else ()
    state = state.enters(phase, reason, now_s, target=None, refit="").with_moment(download=None, assigned=None)
    return state, (*stop, living.kept_files(state))


def _defer(state: State, reason: str, next_check_s: float | None, now_s: float) -> State:
    if state.device.phase is Phase.DEFERRED:
        state = state.with_device(reason=reason)
    else:
        state = state.enters(Phase.DEFERRED, reason, now_s).with_moment(download=None)
    return state.with_moment(next_check_s=next_check_s)
