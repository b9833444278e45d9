"""The life of one model on one device, as one table: (phase, event) to reaction. Reads no clock, does no I/O.

What is not in the table is late or repeated, which is normal over MQTT, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from device_client.core.download import chunk_scheduler as download
from device_client.core.download import throughput as pace
from device_client.core.effects import Effects, Step, Swap, TakeReadings
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
    ProofNotTried,
    ReadingsTaken,
    Started,
    TallyTaken,
    TimePassed,
)
from device_client.core.phases import assignment as assigning
from device_client.core.phases import fetching, proving
from device_client.core.phases import probation as living
from device_client.core.policy import Policy
from device_client.core.state import RESTING, WAITING, Phase, State, Target
from device_client.core.variants import switching as refit
from device_client.core.variants.selection import unfit

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
        glance_s = assigning.glance_at_s(policy, state)
        return min((at_s for at_s in (moment.next_check_s, glance_s) if at_s is not None), default=None)
    if phase is Phase.FETCHING:
        times = [] if moment.readings_at_s is None else [moment.readings_at_s + policy.readings_fresh_s]
        late = download.wake_s(moment.download, policy.download) if moment.download and moment.link_up else None
        return min([*times, late] if late is not None else times, default=None)
    if phase is Phase.COMMITTED:
        return refit.look_at_s(policy, state)
    if phase in {Phase.SHADOWING, Phase.PROBATION}:
        return moment.tally_at_s + policy.trial.poll_s
    return None


def _note(state: State, event: Event, now_s: float) -> State:
    """What is simply known from now on, whatever the phase."""
    match event:
        case LinkUp():
            return state.with_moment(link_up=True, link_trouble="")
        case LinkDown(reason):
            return state.with_moment(link_up=False, link_trouble=reason)
        case ReadingsTaken(readings):
            return state.with_moment(readings=pace.told(state.moment.pace, readings, now_s), readings_at_s=now_s)
        case PlanRefused(reason):
            return state.with_moment(notice=reason)
    return state


def _came_to_rest(before: State, after: State) -> bool:
    moved = (before.device.phase, before.device.live) != (after.device.phase, after.device.live)
    return moved and after.device.phase in RESTING


def _plan_trusted(policy: Policy, state: State, event: PlanTrusted, now_s: float) -> Step:
    """Remember it, unless it is older than the one that is known, and hold what is under way against it."""
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
    if device.phase is Phase.PROBATION:
        return _resume_probation(policy, state, now_s)
    effects: Effects = (Swap(device.live),) if device.live else ()
    if device.phase in RESTING:
        state, more = assigning.reconsider(policy, state, now_s)
        return state, (*effects, *more, living.kept_files(state))
    if device.phase in WAITING or device.target is None or unfit(device.target.variant, policy):
        state, more = assigning.reconsider(policy, state.enters(Phase.ASSIGNED, device.reason, now_s), now_s)
        return state, (*effects, *more)
    state, more = _resume_target(policy, state, device.target, now_s)
    return state, (*effects, *more)


def _resume_target(policy: Policy, state: State, target: Target, now_s: float) -> Step:
    """From what is on the disk. A process that ends again and again under a trial is ended by it."""
    if state.device.phase is not Phase.FETCHING:
        target = target.model_copy(update={"restarts": target.restarts + 1})
    if target.restarts > policy.trial.restarts_max:
        state = state.with_device(target=target)
        return proving.reject(state, f"the process ended {target.restarts} times during its trial", now_s)
    return fetching.begin(state, target, now_s)


def _resume_probation(policy: Policy, state: State, now_s: float) -> Step:
    device = state.device
    assert device.live is not None  # what is on probation is live
    target = device.target
    if target is not None:
        target = target.model_copy(update={"restarts": target.restarts + 1})
    state = state.enters(Phase.PROBATION, device.reason, now_s, target=target)
    if target is None or target.restarts <= policy.trial.restarts_max:
        return state, (Swap(device.live), *living.shadowed_by(policy, device.previous))
    state, effects = living.roll_back(state, f"the process ended {target.restarts} times on probation", now_s)
    # what ended the process is not opened once more, unless there is nothing else to serve
    return state, effects if device.previous else (Swap(device.live), *effects)


def _check_due(policy: Policy, state: State, event: Event, now_s: float) -> Step:
    """Begin, or say why not and when to look again; before that time only a glance at the sensors."""
    due_s = state.moment.next_check_s
    if isinstance(event, TimePassed) and (due_s is None or now_s < due_s):
        glance_s = assigning.glance_at_s(policy, state)
        return state, (TakeReadings(),) if glance_s is not None and now_s >= glance_s else ()
    return assigning.consider_beginning(policy, state, now_s)


def _stall_over(policy: Policy, state: State, event: Event, now_s: float) -> Step:
    """Try the download once more, when its time has come or the link is back."""
    due_s = state.moment.next_check_s
    if isinstance(event, TimePassed) and due_s is not None and now_s < due_s:
        return state, ()
    return assigning.resume_stalled(policy, state, now_s)


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
    Phase.PROVING: {ProofEnded: proving.proof_ended, ProofNotTried: proving.not_tried},
    Phase.SHADOWING: {
        TimePassed: proving.time_passed,
        TallyTaken: proving.shadow_counted,
        ModelFailed: proving.shadow_failed,
    },
    Phase.PROBATION: {TimePassed: proving.time_passed, TallyTaken: living.probation_counted},
    Phase.COMMITTED: {TimePassed: refit.time_passed, ReadingsTaken: refit.readings_taken},
}
TABLE: Final[dict[tuple[Phase, type], Reaction]] = {
    (phase, event): reaction for phase in Phase for event, reaction in (ANYWHERE | BY_PHASE.get(phase, {})).items()
}
