"""ASSIGNED and DEFERRED: from a plan to an assigned update, and to its beginning."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from device_client.core.admission import HELD, Begin, KeepVariant, NotYet, ReadSensors, may_begin
from device_client.core.effects import Effects, Step, StopTrial, TakeReadings
from device_client.core.goal import Goal, goal_of
from device_client.core.phases import fetching, probation
from device_client.core.policy import Policy
from device_client.core.state import ON_TRIAL, RESTING, WAITING, Assigned, Device, Installed, Phase, Refusal, State
from device_client.core.strategy.strategies import waiting_age_max_s
from device_client.core.variants import switching
from device_client.core.variants.selection import objection

READINGS_RETRY_S: Final = 5.0


def reconsider(policy: Policy, state: State, now_s: float) -> Step:
    """Compare what the device does with the plan, and act on a difference."""
    device, plan = state.device, state.device.plan
    if plan is None:
        return state, ()
    goal = goal_of(policy, device)
    if device.phase is Phase.PROBATION and not _breaks_off_probation(device, goal):
        return state, ()  # the verdict first: nothing may replace a model that is not yet known to be good
    undone: Effects = ()
    if device.refit and (goal is None or goal.running is None):
        state, undone = switching.cancel(state)
        goal = goal_of(policy, state.device)
    if goal is None:
        state, effects = _rest(state, Phase.IDLE, f"plan {plan.sequence} names no version for this device", now_s)
    else:
        state, effects = _change_course(policy, state, goal, now_s)
    return state, (*undone, *effects)


def _change_course(policy: Policy, state: State, goal: Goal, now_s: float) -> Step:
    device = state.device
    refusal = device.refused(goal.version, goal.attempt)
    if refusal is not None:
        return _refuse(state, refusal, now_s)
    if goal.running is not None and not goal.other_variant:
        return _stay(policy, state, goal, goal.running, now_s)
    if device.phase not in RESTING | WAITING:
        return _in_flight(state, goal, now_s)
    return _assign(state, goal, now_s)


def consider_beginning(policy: Policy, state: State, now_s: float) -> Step:
    """Begin the assigned update, or defer it, as `admission.may_begin` decides."""
    goal = goal_of(policy, state.device)
    if goal is None:
        return state, ()
    admission, history = may_begin(policy, goal, state.moment, now_s)
    state = state.with_moment(history=history)
    match admission:
        case Begin(target, note):
            return fetching.begin(state, target, now_s, note=note)
        case NotYet(reason, next_check_s):
            return _defer(state, reason, next_check_s, now_s), ()
        case ReadSensors():
            return state.waits_until(now_s + READINGS_RETRY_S), (TakeReadings(),)
        case KeepVariant(live):
            return _stay(policy, state, goal, live, now_s)


def refresh_at_s(policy: Policy, state: State) -> float | None:
    """When to take readings although no check is due; None when they may grow old."""
    age_s = waiting_age_max_s(policy.strategy, by_the_clock=bool(policy.thresholds.hours))
    at_s = state.moment.seen.at_s
    waiting = state.moment.next_check_s is not None and state.device.phase is not Phase.STALLED
    return at_s + age_s if waiting and age_s is not None and at_s is not None else None


def resume_stalled(policy: Policy, state: State, now_s: float) -> Step:
    """Try a stalled download once more, from what is on the disk."""
    device = state.device
    if device.plan is not None and device.plan.hold:
        return _defer(state, HELD, None, now_s), ()
    if device.refit:
        return switching.select_again(state, now_s)
    return fetching.begin(state, device.target, now_s) if device.target else (state, ())


def _assign(state: State, goal: Goal, now_s: float) -> Step:
    known, attempt = state.moment.assigned, goal.attempt
    if state.device.phase in WAITING and known and (known.version, known.attempt) == (goal.version, attempt):
        return state.waits_until(now_s), ()
    reason = state.device.refit or f"plan {goal.plan.sequence} asks for {goal.version} ({goal.rule})"
    state = state.enters(Phase.ASSIGNED, reason, now_s, target=None).waits_until(now_s + READINGS_RETRY_S)
    history = replace(state.moment.history, allowed_since_s=None)
    return state.with_moment(assigned=Assigned(goal.version, attempt, now_s), history=history), (TakeReadings(),)


def _in_flight(state: State, goal: Goal, now_s: float) -> Step:
    target = state.device.target
    if target is None or (target.version, target.attempt) != (goal.version, goal.attempt):
        state, effects = _assign(state, goal, now_s)
        return state, (StopTrial(), *effects)
    if goal.plan.hold:
        return _defer(state, HELD, None, now_s), (StopTrial(),)
    return state, ()


def _breaks_off_probation(device: Device, goal: Goal | None) -> bool:
    """Only a way back, or something urgent, does not wait for the verdict."""
    if goal is None or goal.running is not None or device.refused(goal.version, goal.attempt) is not None:
        return False
    recalls = any(each is not None and each.version == goal.version for each in (device.previous, device.behind))
    return recalls or goal.plan.urgency == "urgent"


def _chosen_because(policy: Policy, live: Installed) -> str:
    problem = objection(policy, live)
    return f"; the settings speak against its variant, others are looked at: {problem}" if problem else live.because()


def _stay(policy: Policy, state: State, goal: Goal, live: Installed, now_s: float) -> Step:
    sequence = goal.plan.sequence
    if goal.committed:
        reason = f"runs {goal.version}, as plan {sequence} asks ({goal.rule}){_chosen_because(policy, live)}"
        return _rest(state, Phase.COMMITTED, reason, now_s)
    return probation.watch_again(policy, state, live, goal.attempt, sequence, now_s)


def _refuse(state: State, refusal: Refusal, now_s: float) -> Step:
    device = state.device
    refused = device.phase in {Phase.REJECTED, Phase.ROLLED_BACK} and device.target is None
    if refused and device.refusals[-1] == refusal:
        return state, ()  # the reason given when it was refused says more
    phase = Phase.ROLLED_BACK if device.phase is Phase.ROLLED_BACK else Phase.REJECTED
    return _rest(state, phase, f"{refusal.version} was refused: {refusal.reason}", now_s)


def _rest(state: State, phase: Phase, reason: str, now_s: float) -> Step:
    after = state.enters(phase, reason, now_s, target=None, refit="").with_moment(assigned=None)
    if after.device == state.device:
        return state, ()
    stop: Effects = (StopTrial(),) if state.device.phase in ON_TRIAL | {Phase.FETCHING} else ()
    return after, (*stop, probation.kept_files(after))


def _defer(state: State, reason: str, next_check_s: float | None, now_s: float) -> State:
    if state.device.phase is Phase.DEFERRED:
        return state.with_device(reason=reason).waits_until(next_check_s)
    return state.enters(Phase.DEFERRED, reason, now_s).waits_until(next_check_s)
