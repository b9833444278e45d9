"""The life of one model on one device: `step`, a table of (phase, event) to reaction.

`step(policy, state, event, now_s)` returns the next state and the effects to perform.
It reads no clock and does no I/O: what happened is an event (past tense), what is to be
done an effect (imperative), and what an effect finds out is another event. `wake_s`
says when `TimePassed` is due. The rows, with all that can go wrong: docs/STATES.md.

**From plan to committed.** `assignment.reconsider` compares the trusted plan with what
the device does; a version other than the live one is ASSIGNED and the sensors are read.
`admission.may_begin` decides: does a variant fit, do the conditions hold, does the
strategy say now? If not, the update is DEFERRED with a reason and a time. FETCHING
brings the golden set and then the model to the disk, chunk by chunk; while the broker
lacks chunks it is STALLED. In PROVING a child process with limits must reproduce the
golden outputs. In SHADOWING the candidate gets the inputs of the live model, and its
answers are only compared. A good verdict swaps the two: on PROBATION the candidate
serves, and the previous version shadows it. A second good verdict makes it COMMITTED. A
first version skips SHADOWING, as nothing is live beside it.

**And back.** A candidate that fails before its swap is REJECTED, one that fails on
probation ROLLED_BACK to the version still on the disk, which fetches nothing. Either is
announced with the evidence and not tried again unless the plan raises its attempt. A
plan that names the previous version swaps to its file without broker or proof. Another
variant of the live version (`variants.switching`) takes the same path. A live model
whose file cannot be opened is replaced by the previous one, and fetched again.

**What is saved.** `Device` is saved after each step that changed it, before its
effects, in one transaction with the outcomes they announce. `Moment` (readings, timers,
chunks on their way, the link) is not. After a power cut `Started` opens the live model
first, a fetch continues with what is on the disk, a proof or shadow is repeated from
the fetch on, probation starts its clock again. A candidate under which the process ends
too often is rejected or rolled back.

**Repeated and late events are harmless**, as MQTT delivers at least once and power may
go between saving and doing. Nothing is changed by an event without a row for the
phase, one about another file than the record of the phase names (`phases.records`), an
older plan, or the same plan again. Every effect may be repeated; receivers count an
outcome by its id. `TimePassed` may be early: a reaction checks its own due time.

**Invariants** (tests/property/test_core_walk.py): what is live is lost only if its file
cannot be opened; a refused version never goes live; files of installed versions are
never removed; the saved state can be read again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar

from device_client.core import events
from device_client.core.download import chunk_scheduler as download
from device_client.core.download import throughput
from device_client.core.effects import Effects, Step, Swap, TakeReadings
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


def step(policy: Policy, state: State, event: events.Event, now_s: float) -> Step:
    """Return the next state and the effects. `now_s`: seconds of a monotonic clock."""
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
    """When `TimePassed` is due at the latest; None where nothing waits for a time."""
    moment, phase = state.moment, state.device.phase
    if phase in WAITING:
        return _earliest(moment.next_check_s, assignment.refresh_at_s(policy, state))
    if phase is Phase.FETCHING:
        stale_s = None if moment.seen.at_s is None else moment.seen.at_s + policy.readings_fresh_s
        late_s = download.wake_s(moment.download, policy.download) if moment.download and moment.link.up else None
        return _earliest(stale_s, late_s)
    if phase is Phase.COMMITTED:
        return switching.recheck_at_s(policy, state)
    return moment.activity.tally_at_s + policy.trial.poll_s if isinstance(moment.activity, Comparing) else None


def _earliest(*times_s: float | None) -> float | None:
    return min((time_s for time_s in times_s if time_s is not None), default=None)


def _note(state: State, event: events.Event, now_s: float) -> State:
    match event:
        case events.LinkUp():
            return state.with_moment(link=Connection(up=True))
        case events.LinkDown(reason):
            return state.with_moment(link=Connection(trouble=reason))
        case events.ReadingsTaken(readings):
            measured = state.moment.seen.throughput
            return state.with_moment(seen=Observation(throughput.fill_in(measured, readings, now_s), now_s, measured))
        case events.PlanRefused(reason):
            return state.with_moment(notice=reason)
    return state


def _came_to_rest(before: State, after: State) -> bool:
    moved = (before.device.phase, before.device.live) != (after.device.phase, after.device.live)
    return moved and after.device.phase in RESTING


def _plan_trusted(policy: Policy, state: State, event: events.PlanTrusted, now_s: float) -> Step:
    """Remember it, unless it is older than the known one, and act on it."""
    known = state.device.plan
    if known is not None and event.plan.sequence < known.sequence:
        notice = f"plan {event.plan.sequence} is older than plan {known.sequence} and was ignored"
        return state.with_moment(notice=notice), ()
    state = state.with_moment(notice="")
    if known != event.plan or state.device.manifests != event.manifests:  # an older client read less of them
        state = state.with_device(plan=event.plan, manifests=dict(event.manifests))
    return assignment.reconsider(policy, state, now_s)


def _started(policy: Policy, state: State, event: events.Started, now_s: float) -> Step:
    """Open what is live, and resume what was under way from what is on the disk."""
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
    """Continue from the disk, unless the process ended too often in the trial."""
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
    # what ended the process is not opened again, unless there is nothing else to serve
    return state, effects if device.previous else (Swap(live), *effects)


def _check_due(policy: Policy, state: State, event: events.Event, now_s: float) -> Step:
    """Decide whether to begin, when a check is due; until then at most read sensors."""
    due_s = state.moment.next_check_s
    if isinstance(event, events.TimePassed) and (due_s is None or now_s < due_s):
        refresh_s = assignment.refresh_at_s(policy, state)
        return state, (TakeReadings(),) if refresh_s is not None and now_s >= refresh_s else ()
    return assignment.consider_beginning(policy, state, now_s)


def _stall_over(policy: Policy, state: State, event: events.Event, now_s: float) -> Step:
    """Retry the download when it is due or the link is back."""
    due_s = state.moment.next_check_s
    if isinstance(event, events.TimePassed) and due_s is not None and now_s < due_s:
        return state, ()
    return assignment.resume_stalled(policy, state, now_s)


R = TypeVar("R", Fetching, Proving, Shadowing, Probation)


def _with(
    record: type[R], reactions: dict[type, Callable[[Policy, State, R, Any, float], Step]]
) -> dict[type, Reaction]:
    """Reactions that take the record of their phase; without one an event is late."""

    def given(react: Callable[[Policy, State, R, Any, float], Step]) -> Reaction:
        @wraps(react)
        def reaction(policy: Policy, state: State, event: Any, now_s: float) -> Step:
            found = record.of(state)
            return (state, ()) if found is None else react(policy, state, found, event, now_s)

        return reaction

    return {event: given(react) for event, react in reactions.items()}


ANYWHERE: Final[dict[type, Reaction]] = {
    events.Started: _started,
    events.PlanTrusted: _plan_trusted,
    events.ModelFailed: probation.live_failed,
}
WHILE_WAITING: Final[dict[type, Reaction]] = {events.TimePassed: _check_due, events.ReadingsTaken: _check_due}
BY_PHASE: Final[dict[Phase, dict[type, Reaction]]] = {
    Phase.ASSIGNED: WHILE_WAITING,
    Phase.DEFERRED: WHILE_WAITING,
    Phase.STALLED: {events.TimePassed: _stall_over, events.LinkUp: _stall_over},
    Phase.FETCHING: _with(
        Fetching,
        {
            events.BlobOpened: fetching.blob_opened,
            events.BlobReady: fetching.blob_ready,
            events.BlobBroken: fetching.blob_broken,
            events.DiskFailed: fetching.disk_failed,
            events.ChunkKept: fetching.chunk_kept,
            events.ChunkCorrupt: fetching.chunk_corrupt,
            events.ChunksSwept: fetching.chunks_swept,
            events.LinkDown: fetching.link_down,
            events.LinkUp: fetching.link_up,
            events.TimePassed: fetching.time_passed,
            events.ReadingsTaken: fetching.readings_taken,
        },
    ),
    Phase.PROVING: _with(Proving, {events.ProofEnded: proving.proof_ended, events.ProofNotTried: proving.not_tried}),
    Phase.SHADOWING: _with(
        Shadowing,
        {
            events.TimePassed: proving.time_passed,
            events.TallyTaken: proving.shadow_counted,
            events.ModelFailed: proving.shadow_failed,
        },
    ),
    Phase.PROBATION: _with(
        Probation, {events.TimePassed: proving.time_passed, events.TallyTaken: probation.probation_counted}
    ),
    Phase.COMMITTED: {events.TimePassed: switching.time_passed, events.ReadingsTaken: switching.readings_taken},
}
TABLE: Final[dict[tuple[Phase, type], Reaction]] = {
    (phase, event): reaction for phase in Phase for event, reaction in (ANYWHERE | BY_PHASE.get(phase, {})).items()
}
