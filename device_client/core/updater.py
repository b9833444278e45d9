"""The life of one model on one device, as one table: (phase, event) to reaction. Reads no clock, does no I/O.

What is not in the table is late or repeated, which is normal over MQTT, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from device_client.core import assigning, download, fetching, living, proving
from device_client.core.device import RESTING, WAITING, Phase, State
from device_client.core.effects import Effects, StartShadow, Swap
from device_client.core.events import (
    BlobBroken,
    BlobOpened,
    BlobReady,
    ChunkKept,
    ChunkLied,
    ChunksSwept,
    DiskFailed,
    Event,
    LinkDown,
    LinkUp,
    ModelFailed,
    PlanRefused,
    PlanTrusted,
    ProofEnded,
    ReadingsTaken,
    Started,
    TallyTaken,
    TimePassed,
)
from device_client.core.policy import Policy

Step = tuple[State, Effects]
Reaction = Callable[[Policy, State, Any, float], Step]


def step(policy: Policy, state: State, event: Event, now_s: float) -> Step:
    """Return what the device becomes and what it asks for. `now_s`: seconds of any clock that does not go back."""
    after = _note(state, event, now_s)
    react = TABLE.get((after.device.phase, type(event)))
    effects: Effects = ()
    if react is not None:
        after, effects = react(policy, after, event, now_s)
    if _came_to_rest(state, after):
        after, more = assigning.reconsider(policy, after, now_s)
        effects += more
    return after, effects


def wake_s(policy: Policy, state: State) -> float | None:
    """When `TimePassed` should be said at the latest, or None when nothing is waited for."""
    moment, phase = state.moment, state.device.phase
    if phase in WAITING:
        return moment.next_check_s
    if phase is Phase.FETCHING:
        times = [] if moment.readings_at_s is None else [moment.readings_at_s + policy.readings_fresh_s]
        late = download.wake_s(moment.download, policy.download) if moment.download and moment.link_up else None
        return min([*times, late] if late is not None else times, default=None)
    if phase in {Phase.SHADOWING, Phase.PROBATION}:
        return moment.tally_at_s + policy.trial.poll_s
    return None


def _note(state: State, event: Event, now_s: float) -> State:
    """What is simply known from now on, whatever the phase."""
    match event:
        case LinkUp():
            return state.with_moment(link_up=True)
        case LinkDown():
            return state.with_moment(link_up=False)
        case ReadingsTaken(readings):
            return state.with_moment(readings=readings, readings_at_s=now_s)
        case PlanRefused(reason):
            return state.with_moment(notice=reason)
    return state


def _came_to_rest(before: State, after: State) -> bool:
    moved = (before.device.phase, before.device.live) != (after.device.phase, after.device.live)
    return moved and after.device.phase in RESTING


def _plan_trusted(policy: Policy, state: State, event: PlanTrusted, now_s: float) -> Step:
    known = state.device.plan
    if known is not None and event.plan.sequence < known.sequence:
        notice = f"plan {event.plan.sequence} is older than plan {known.sequence} and was ignored"
        return state.with_moment(notice=notice), ()
    state = state.with_moment(notice="")
    if known != event.plan:
        state = state.with_device(plan=event.plan, manifests=dict(event.manifests))
    return assigning.reconsider(policy, state, now_s)


def _started(policy: Policy, state: State, event: Started, now_s: float) -> Step:
    """Build the moment anew: open what is live, and take up what was under way from what is on the disk."""
    device = state.device
    effects: Effects = (Swap(device.live),) if device.live else ()
    if device.phase is Phase.PROBATION:
        return _resume_probation(policy, state, effects, now_s)
    if device.phase in RESTING:
        state, more = assigning.reconsider(policy, state, now_s)
        return state, (*effects, *more, living.kept_files(state))
    if device.phase in WAITING or device.target is None:
        state, more = assigning.reconsider(policy, state.enters(Phase.ASSIGNED, device.reason, now_s), now_s)
        return state, (*effects, *more)
    if device.phase is Phase.SHADOWING:
        target = device.target.model_copy(update={"restarts": device.target.restarts + 1})
        state = state.with_device(target=target)
        if target.restarts > policy.trial.restarts_max:
            reason = f"the process ended {target.restarts} times while it was shadowing"
            state, more = proving.reject(state, reason, now_s)
            return state, (*effects, *more)
    assert state.device.target is not None  # seen above
    state, more = fetching.begin(state, state.device.target, now_s)
    return state, (*effects, *more)


def _resume_probation(policy: Policy, state: State, effects: Effects, now_s: float) -> Step:
    device = state.device
    restarts = device.target.restarts + 1 if device.target else 0
    if device.target is not None:
        state = state.with_device(target=device.target.model_copy(update={"restarts": restarts}))
    if restarts > policy.trial.restarts_max:
        state, more = living.roll_back(state, f"the process ended {restarts} times on probation", now_s)
        return state, (*effects, *more)
    state = state.enters(Phase.PROBATION, device.reason, now_s)
    return state, (*effects, StartShadow(device.previous)) if device.previous else effects


def _check_due(policy: Policy, state: State, event: Event, now_s: float) -> Step:
    due_s = state.moment.next_check_s
    if isinstance(event, TimePassed) and (due_s is None or now_s < due_s):
        return state, ()
    return assigning.consider_beginning(policy, state, now_s)


def _stall_over(policy: Policy, state: State, event: Event, now_s: float) -> Step:
    due_s = state.moment.next_check_s
    if isinstance(event, TimePassed) and due_s is not None and now_s < due_s:
        return state, ()
    return fetching.resume_stalled(state, now_s)


ANYWHERE: Final[dict[type, Reaction]] = {
    Started: _started,
    PlanTrusted: _plan_trusted,
    ModelFailed: living.live_failed,
}
WHILE_WAITING: Final[dict[type, Reaction]] = {TimePassed: _check_due, ReadingsTaken: _check_due}
BY_PHASE: Final[dict[Phase, dict[type, Reaction]]] = {
    Phase.ASSIGNED: WHILE_WAITING,
    Phase.DEFERRED: WHILE_WAITING,
    Phase.STALLED: {TimePassed: _stall_over, LinkUp: _stall_over},
    Phase.FETCHING: {
        BlobOpened: fetching.blob_opened,
        BlobReady: fetching.blob_ready,
        BlobBroken: fetching.blob_broken,
        DiskFailed: fetching.disk_failed,
        ChunkKept: fetching.chunk_kept,
        ChunkLied: fetching.chunk_lied,
        ChunksSwept: fetching.chunks_swept,
        LinkDown: fetching.link_down,
        LinkUp: fetching.link_up,
        TimePassed: fetching.time_passed,
        ReadingsTaken: fetching.readings_taken,
    },
    Phase.PROVING: {ProofEnded: proving.proof_ended},
    Phase.SHADOWING: {
        TimePassed: proving.time_passed,
        TallyTaken: proving.shadow_counted,
        ModelFailed: proving.shadow_failed,
    },
    Phase.PROBATION: {TimePassed: proving.time_passed, TallyTaken: living.probation_counted},
}
TABLE: Final[dict[tuple[Phase, type], Reaction]] = {
    (phase, event): reaction for phase in Phase for event, reaction in (ANYWHERE | BY_PHASE.get(phase, {})).items()
}
