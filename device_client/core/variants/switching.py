"""Another variant of the live version, when the device's situation has changed.

It is assigned as a version would be, and given up when it fails; the version itself
stays committed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from device_client.core.conditions.readings import Unknown
from device_client.core.effects import Effects, KeepOnly, Step, StopTrial, Swap, TakeReadings, outcome_of
from device_client.core.events import ReadingsTaken, TimePassed
from device_client.core.goal import Goal, goal_of
from device_client.core.policy import Policy
from device_client.core.state import Assigned, Device, Installed, Phase, State, Target, VariantRecheck
from device_client.core.variants.selection import VariantSelection, objection, select
from protocol.messages.device import OutcomeKind

CONFIRM_S: Final = 60.0  # to the second check, which must agree: a passing situation changes nothing
DOUBLED_MAX: Final = 6  # each change doubles the time to the next check, or two variants might alternate for ever
MARGIN: Final = 1.25  # a variant that needs more memory must fit with room to spare, for the same reason


def recheck_at_s(policy: Policy, state: State) -> float | None:
    """When to check again; None where there is no other variant."""
    return None if _running(policy, state.device) is None else state.moment.recheck.at_s


def time_passed(policy: Policy, state: State, event: TimePassed, now_s: float) -> Step:
    """Read the sensors when another variant may be due."""
    due_s = recheck_at_s(policy, state)
    return state, (TakeReadings(),) if due_s is not None and now_s >= due_s else ()


def readings_taken(policy: Policy, state: State, event: ReadingsTaken, now_s: float) -> Step:
    """Assign a variant that two checks prefer; one, if settings exclude the live."""
    running, recheck = _running(policy, state.device), state.moment.recheck
    if running is None or now_s < recheck.at_s:
        return state, ()
    goal, live = running
    better = _better(policy, state, goal, live)
    if better is None:
        return state.with_moment(recheck=VariantRecheck(now_s + _pause_s(policy, state.device))), ()
    if recheck.preferred != better.variant.name and not objection(policy, live):
        soon_s = min(CONFIRM_S, policy.variant_recheck_s)
        return state.with_moment(recheck=VariantRecheck(now_s + soon_s, better.variant.name)), ()
    reason = f"{better.variant.name} of {goal.version} now suits this device better than {live.variant.name}"
    return _assign(policy, state, goal, reason, now_s)


def changes_variant(device: Device, target: Target) -> bool:
    """Whether this target is another variant of the live version."""
    return bool(device.refit) and device.live is not None and device.live.version == target.version


def select_again(state: State, now_s: float) -> Step:
    """Assign the change again after a stalled download."""
    state = state.enters(Phase.ASSIGNED, state.device.refit, now_s, target=None).waits_until(now_s)
    return state, (TakeReadings(),)


def cancel(state: State) -> Step:
    """End the change; on probation, the variant that served before serves again."""
    device = state.device
    back = device.previous if device.refit and device.phase is Phase.PROBATION else None
    if back is None:
        return state.with_device(refit=""), ()
    return state.with_device(live=back, previous=device.behind, behind=None, refit=""), (Swap(back),)


def give_up(
    state: State, target: Target, kind: OutcomeKind, reason: str, now_s: float, *, latency_ms: float | None = None
) -> Step:
    """The other variant failed: the one before stays, or serves again."""
    version, device = target.version, state.device
    outcome = outcome_of(target, kind, version, reason, device.evidence, device.refits)
    state, swap = cancel(state.with_device(findings=device.finds(target, reason, latency_ms)))
    live = state.device.live
    if live is None:
        return state, swap
    choice = f"variant {live.variant.name}; {target.variant.name} was tried: {reason}"
    live = Installed.model_validate(dict(live) | {"choice": choice})  # truncates
    state = state.enters(Phase.COMMITTED, f"runs {version}{live.because()}", now_s, live=live, target=None)
    served: Effects = (Swap(live),) if swap else ()
    return state.with_moment(assigned=None), (StopTrial(), *served, outcome, KeepOnly(state.device.files()))


def _running(policy: Policy, device: Device) -> tuple[Goal, Installed] | None:
    """The goal and the live variant, where there are others of its version."""
    goal = goal_of(policy, device)
    if goal is None or goal.running is None or goal.plan.hold:
        return None
    return (goal, goal.running) if len(goal.running.manifest.variants) > 1 else None


def _better(policy: Policy, state: State, goal: Goal, live: Installed) -> VariantSelection | None:
    readings = state.moment.seen.readings
    selection = select(policy, goal, readings)
    if isinstance(selection, str) or goal.runs(selection.variant):
        return None
    if selection.variant.requires.memory_bytes <= live.variant.requires.memory_bytes:
        return selection
    if policy.memory_budget_bytes is None and isinstance(readings.memory_free_bytes, Unknown):
        return None  # unlike a new version, a change to more memory needs a known reading
    again = select(policy, goal, readings, margin=MARGIN)
    return None if isinstance(again, str) or goal.runs(again.variant) else again


def _assign(policy: Policy, state: State, goal: Goal, reason: str, now_s: float) -> Step:
    refits = state.device.refits + 1
    state = state.enters(Phase.ASSIGNED, reason, now_s, target=None, refit=reason, refits=refits).waits_until(now_s)
    assigned, history = Assigned(goal.version, goal.attempt, now_s), replace(state.moment.history, allowed_since_s=None)
    recheck = VariantRecheck(now_s + _pause_s(policy, state.device))
    return state.with_moment(assigned=assigned, history=history, recheck=recheck), (TakeReadings(),)


def _pause_s(policy: Policy, device: Device) -> float:
    return policy.variant_recheck_s * 2.0 ** min(device.refits, DOUBLED_MAX)
