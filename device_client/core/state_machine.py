"""The life of one model on one device, as one table: (phase, event) to reaction. Reads no clock, does no I/O.

What is not in the table is late or repeated, which is normal over MQTT, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar

from device_client.core.download import chunk_scheduler as download
from device_client.core.download import throughput
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
from device_client.core.phases import assignment, fetching, probation, proving
from device_client.core.phases.records import Fetching, Probation, Proving, Shadowing
from device_client.core.policy import Policy
from device_client.core.state import (
    RESTING,
    WAITING,
    Comparing,
    Connection,
    Installed,
    Observation,
    Phase,
    State,
    Target,
)
from device_client.core.variants import switching
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
        after, more = assignment.reconsider(policy, after, now_s)
        effects += more
    return after, effects


def wake_s(policy: Policy, state: State) -> float | None:
    """When `TimePassed` should be said at the latest, or None when nothing is waited for."""
    moment, phase = state.moment, state.device.phase
    if phase in WAITING:
        return _earliest(moment.next_check_s, assignment.glance_at_s(policy, state))
    if phase is Phase.FETCHING:
        stale_s = None if moment.seen.at_s is None else moment.seen.at_s + policy.readings_fresh_s
        late_s = download.wake_s(moment.download, policy.download) if moment.download and moment.link.up else None
        return _earliest(stale_s, late_s)
    if phase is Phase.COMMITTED:
        return switching.recheck_at_s(policy, state)
    return moment.activity.tally_at_s + policy.trial.poll_s if isinstance(moment.activity, Comparing) else None


def _earliest(*times_s: float | None) -> float | None:
    return min((time_s for time_s in times_s if time_s is not None), default=None)


def _note(state: State, event: Event, now_s: float) -> State:
    """What is simply known from now on, whatever the phase."""
    match event:
        case LinkUp():
            return state.with_moment(link=Connection(up=True))
        case LinkDown(reason):
            return state.with_moment(link=Connection(trouble=reason))
        case ReadingsTaken(readings):
            measured = state.moment.seen.throughput
            return state.with_moment(seen=Observation(throughput.told(measured, readings, now_s), now_s, measured))
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
    return assignment.reconsider(policy, state, now_s)


def _started(policy: Policy, state: State, event: Started, now_s: float) -> Step:
    """Build the moment anew: open what is live, and take up what was under way from what is on the disk."""
    device = state.device
    if device.phase is Phase.PROBATION and device.live is not None:
        return _resume_probation(policy, state, device.live, now_s)
    effects: Effects = (Swap(device.live),) if device.live else ()
    if device.phase in RESTING:
        state, more = assignment.reconsider(policy, state, now_s)
        return state, (*effects, *more, probation.kept_files(state))
    if device.phase in WAITING or device.target is None or unfit(device.target.variant, policy):
        state, more = assignment.reconsider(policy, state.enters(Phase.ASSIGNED, device.reason, now_s), now_s)
        return state, (*effects, *more)
    state, more = _resume_target(policy, state, device.target, now_s)
    return state, (*effects, *more)


def _resume_target(policy: Policy, state: State, target: Target, now_s: float) -> Step:
    """From what is on the disk. A process that ends again and again under a trial is ended by it."""
    if state.device.phase is not Phase.FETCHING:
        target = target.model_copy(update={"restarts": target.restarts + 1})
    if target.restarts > policy.trial.restarts_max:
        state = state.with_device(target=target)
        return proving.reject(state, target, f"the process ended {target.restarts} times during its trial", now_s)
    return fetching.begin(state, target, now_s)


def _resume_probation(policy: Policy, state: State, live: Installed, now_s: float) -> Step:
    device, target = state.device, state.device.target
    if target is not None:
        target = target.model_copy(update={"restarts": target.restarts + 1})
    state = state.enters(Phase.PROBATION, device.reason, now_s, target=target)
    if target is None or target.restarts <= policy.trial.restarts_max:
        return state, (Swap(live), *probation.shadowed_by(policy, device.previous))
    state, effects = probation.roll_back(state, live, f"the process ended {target.restarts} times on probation", now_s)
    # what ended the process is not opened once more, unless there is nothing else to serve
    return state, effects if device.previous else (Swap(live), *effects)


def _check_due(policy: Policy, state: State, event: Event, now_s: float) -> Step:
    """Begin, or say why not and when to look again; before that time only a glance at the sensors."""
    due_s = state.moment.next_check_s
    if isinstance(event, TimePassed) and (due_s is None or now_s < due_s):
        glance_s = assignment.glance_at_s(policy, state)
        return state, (TakeReadings(),) if glance_s is not None and now_s >= glance_s else ()
    return assignment.consider_beginning(policy, state, now_s)


def _stall_over(policy: Policy, state: State, event: Event, now_s: float) -> Step:
    """Try the download once more, when its time has come or the link is back."""
    due_s = state.moment.next_check_s
    if isinstance(event, TimePassed) and due_s is not None and now_s < due_s:
        return state, ()
    return assignment.resume_stalled(policy, state, now_s)


R = TypeVar("R", Fetching, Proving, Shadowing, Probation)


def _with(
    record: type[R], reactions: dict[type, Callable[[Policy, State, R, Any, float], Step]]
) -> dict[type, Reaction]:
    """Reactions of a phase, given the phase's record; without one the event is late."""

    def given(react: Callable[[Policy, State, R, Any, float], Step]) -> Reaction:
        @wraps(react)
        def reaction(policy: Policy, state: State, event: Any, now_s: float) -> Step:
            found = record.of(state)
            return (state, ()) if found is None else react(policy, state, found, event, now_s)

        return reaction

    return {event: given(react) for event, react in reactions.items()}


ANYWHERE: Final[dict[type, Reaction]] = {
    Started: _started,
    PlanTrusted: _plan_trusted,
    ModelFailed: probation.live_failed,
}
WHILE_WAITING: Final[dict[type, Reaction]] = {TimePassed: _check_due, ReadingsTaken: _check_due}
BY_PHASE: Final[dict[Phase, dict[type, Reaction]]] = {
    Phase.ASSIGNED: WHILE_WAITING,
    Phase.DEFERRED: WHILE_WAITING,
    Phase.STALLED: {TimePassed: _stall_over, LinkUp: _stall_over},
    Phase.FETCHING: _with(
        Fetching,
        {
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
    ),
    Phase.PROVING: _with(Proving, {ProofEnded: proving.proof_ended, ProofNotTried: proving.not_tried}),
    Phase.SHADOWING: _with(
        Shadowing,
        {
            TimePassed: proving.time_passed,
            TallyTaken: proving.shadow_counted,
            ModelFailed: proving.shadow_failed,
        },
    ),
    Phase.PROBATION: _with(Probation, {TimePassed: proving.time_passed, TallyTaken: probation.probation_counted}),
    Phase.COMMITTED: {TimePassed: switching.time_passed, ReadingsTaken: switching.readings_taken},
}
TABLE: Final[dict[tuple[Phase, type], Reaction]] = {
    (phase, event): reaction for phase in Phase for event, reaction in (ANYWHERE | BY_PHASE.get(phase, {})).items()
}
