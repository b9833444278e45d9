"""Another variant of the version that is live, when the device's situation has changed: seen, tried, kept or given up.

The version itself is not in question here: whatever becomes of the other variant, the version stays committed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from device_client.core.conditions.readings import Readings, Unknown
from device_client.core.effects import Announce, Effects, KeepOnly, Step, StopTrial, Swap, TakeReadings
from device_client.core.events import ReadingsTaken, TimePassed
from device_client.core.policy import Policy
from device_client.core.state import Device, Finding, Installed, Phase, State, Target
from device_client.core.variants.selection import VariantSelection, choose, too_slow_here, unfit
from protocol.messages.device import OutcomeKind
from protocol.messages.manifest import Variant
from protocol.messages.plan import Assignment

CONFIRM_S: Final = 60.0  # a second look before anything is begun: a situation lasts, a moment does not
DOUBLED_MAX: Final = 6  # each change doubles the time to the next look, so that two variants cannot take turns for ever
MARGIN: Final = 1.25  # a variant that needs more memory must fit with room to spare, or the two would take turns


def look_at_s(policy: Policy, state: State) -> float | None:
    """When to look again; None where there is nothing to choose from."""
    live = state.device.live
    chosen = live is not None and len(live.manifest.variants) > 1
    return state.moment.refit_look_s if chosen and _assigned(policy, state.device) else None


def time_passed(policy: Policy, state: State, event: TimePassed, now_s: float) -> Step:
    """Look at the device before looking at the variants."""
    due_s = look_at_s(policy, state)
    return state, (TakeReadings(),) if due_s is not None and now_s >= due_s else ()


def readings_taken(policy: Policy, state: State, event: ReadingsTaken, now_s: float) -> Step:
    """A variant that is the better one at two looks is assigned, as a version would be; settings need one look."""
    due_s, wanted = look_at_s(policy, state), _assigned(policy, state.device)
    if wanted is None or due_s is None or now_s < due_s:
        return state, ()
    better = _better(policy, state, wanted)
    if better is None:
        return state.with_moment(refit_seen="", refit_look_s=now_s + _pause_s(policy, state.device)), ()
    if state.moment.refit_seen != better.variant.name and not _settings_object(policy, state.device):
        soon_s = min(CONFIRM_S, policy.variant_recheck_s)
        return state.with_moment(refit_seen=better.variant.name, refit_look_s=now_s + soon_s), ()
    return _begin(policy, state, better, wanted, now_s)


def choice_for(policy: Policy, state: State, wanted: Assignment) -> VariantSelection | str:
    """The variant to take: on a way back the one whose file is here, so that no byte moves; else the best that fits."""
    return _way_back(policy, state.device, wanted) or _choice(policy, state.device, wanted, state.moment.readings)


def is_of(device: Device, target: Target) -> bool:
    """Whether this target is another variant of the live version."""
    return bool(device.refit) and device.live is not None and device.live.version == target.version


def is_live(device: Device, choice: VariantSelection) -> bool:
    """Whether what was chosen is the very file that is live."""
    return device.live is not None and device.live.variant.sha256 == choice.variant.sha256


def relieves(device: Device, variant: Variant) -> bool:
    """Whether taking this variant is a change that leaves more memory free."""
    live = device.live
    return (
        bool(device.refit) and live is not None and variant.requires.memory_bytes < live.variant.requires.memory_bytes
    )


def objection(policy: Policy, live: Installed) -> str:
    """Why the settings speak against what is live, by the manifest or by its own proof here; empty when they do not."""
    return unfit(live.variant, policy) or too_slow_here(live.variant, live.latency_ms, policy)


def chosen_again(state: State, now_s: float) -> Step:
    """A change that got stuck begins with the choice: the situation may be another by now."""
    state = state.enters(Phase.ASSIGNED, state.device.refit, now_s, target=None)
    return state.with_moment(next_check_s=now_s), (TakeReadings(),)


def dropped(state: State) -> Step:
    """Nothing more is wanted of it: on probation, the variant that served before answers again."""
    device = state.device
    if not (device.refit and device.phase is Phase.PROBATION):
        return state.with_device(refit=""), ()
    assert device.previous is not None  # it replaced something
    back = device.previous
    return state.with_device(live=back, previous=device.behind, behind=None, refit=""), (Swap(back),)


def given_up(state: State, kind: OutcomeKind, reason: str, now_s: float, *, latency_ms: float | None = None) -> Step:
    """The other variant disappointed: it is not tried again, and the one that served before serves on."""
    device, target = state.device, state.device.target
    assert target is not None  # what disappointed was on its way, or on probation
    assert device.live is not None  # its version is the live one
    variant = target.variant.name
    outcome = Announce(
        outcome=kind,
        version=target.version,
        variant=variant,
        from_version=device.live.version,
        reason=reason[:500],
        plan_sequence=target.plan_sequence,
        attempt=target.attempt,
        evidence=device.evidence,
        refit=device.refits,
    )
    finding = Finding(
        version=target.version, variant=variant, attempt=target.attempt, reason=reason[:200], latency_ms=latency_ms
    )
    state, swapped = dropped(state.with_device(findings=device.finds(finding)))
    live = state.device.live
    assert live is not None  # see above
    live = live.model_copy(update={"choice": f"variant {live.variant.name}; {variant} was tried: {reason}"[:300]})
    told = f"runs {live.version}{live.why()}"[:500]
    state = state.enters(Phase.COMMITTED, told, now_s, live=live, target=None)
    state = state.with_moment(assigned=None, download=None)
    served: Effects = (Swap(live),) if swapped else ()
    return state, (StopTrial(), *served, outcome, KeepOnly(state.device.files()))


def _begin(policy: Policy, state: State, better: VariantSelection, wanted: Assignment, now_s: float) -> Step:
    device = state.device
    assert device.live is not None  # `look_at_s` says so
    reason = f"{better.variant.name} of {wanted.version} now suits this device better than {device.live.variant.name}"
    refits = device.refits + 1
    state = state.enters(Phase.ASSIGNED, reason, now_s, target=None, refit=reason, refits=refits)
    state = state.with_moment(
        assigned=(wanted.version, wanted.attempt),
        assigned_at_s=now_s,
        allowed_since_s=None,
        refit_seen="",
        refit_look_s=now_s + _pause_s(policy, state.device),
        next_check_s=now_s,
    )
    return state, (TakeReadings(),)


def _pause_s(policy: Policy, device: Device) -> float:
    return policy.variant_recheck_s * 2.0 ** min(device.refits, DOUBLED_MAX)


def _assigned(policy: Policy, device: Device) -> Assignment | None:
    """What the plan asks for, when that is the very version that is live, and the publisher holds nothing."""
    plan = device.plan
    wanted = plan.assign(policy.device, policy.groups) if plan else None
    if plan is None or wanted is None or plan.hold or device.live is None or device.live.version != wanted.version:
        return None
    return wanted if wanted.version in device.manifests else None


def _better(policy: Policy, state: State, wanted: Assignment) -> VariantSelection | None:
    device, readings = state.device, state.moment.readings
    choice = _choice(policy, device, wanted, readings)
    if isinstance(choice, str) or is_live(device, choice):
        return None
    assert device.live is not None  # `_assigned` says so
    if choice.variant.requires.memory_bytes <= device.live.variant.requires.memory_bytes:
        return choice
    if policy.memory_budget_bytes is None and isinstance(readings.memory_free_bytes, Unknown):
        return None  # at a release the best is taken unseen; a change for the larger wants to be sure
    again = _choice(policy, device, wanted, readings, margin=MARGIN)
    return None if isinstance(again, str) or is_live(device, again) else again


def _settings_object(policy: Policy, device: Device) -> bool:
    return device.live is not None and bool(objection(policy, device.live))


def _proof_of(live: Installed, attempt: int) -> Finding:
    """What its own proof said of the live variant, for a budget that has become smaller since."""
    name = live.variant.name
    return Finding(version=live.version, variant=name, attempt=attempt, reason="slow", latency_ms=live.latency_ms)


def _way_back(policy: Policy, device: Device, wanted: Assignment) -> VariantSelection | None:
    previous = device.previous
    if previous is None or previous.version != wanted.version or wanted.version not in device.committed:
        return None
    manifest = device.manifests[wanted.version]
    here = manifest.model_copy(update={"variants": (previous.variant,)})
    choice = choose(here, policy, Readings(), frozenset({previous.variant.sha256}))
    if isinstance(choice, str) or previous.variant not in manifest.variants:
        return None
    return replace(choice, reason=previous.choice or choice.reason)


def _choice(
    policy: Policy, device: Device, wanted: Assignment, readings: Readings, *, margin: float = 1.0
) -> VariantSelection | str:
    free_bytes, live, findings = readings.memory_free_bytes, device.live, device.found(wanted.version, wanted.attempt)
    if live is not None and live.version == wanted.version and not isinstance(free_bytes, Unknown):
        freed_bytes = free_bytes + live.variant.requires.memory_bytes
        readings = replace(readings, memory_free_bytes=int(freed_bytes / margin))
    if live is not None and live.version == wanted.version and live.latency_ms is not None:
        findings = (*findings, _proof_of(live, wanted.attempt))
    bases = frozenset(installed.variant.sha256 for installed in device.installed())
    return choose(device.manifests[wanted.version], policy, readings, bases, findings)
