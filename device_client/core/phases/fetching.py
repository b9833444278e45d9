"""FETCHING: bring the golden set and the file to the disk, whole and verified. Also STALLED, its end without them."""

from __future__ import annotations

from typing import Final

from device_client.core.conditions.conditions import ConditionQuery, Needs, judge
from device_client.core.download import chunk_scheduler as download
from device_client.core.download import throughput as pace
from device_client.core.download.chunk_scheduler import Download
from device_client.core.effects import (
    Effect,
    FinishBlob,
    LookAgain,
    OpenBlob,
    SendWants,
    Step,
    StopTrial,
    SweepChunks,
    TakeReadings,
)
from device_client.core.events import (
    BlobBroken,
    BlobOpened,
    BlobReady,
    ChunkKept,
    ChunkLied,
    ChunksSwept,
    DiskFailed,
    LinkDown,
    LinkUp,
    ReadingsTaken,
    TimePassed,
)
from device_client.core.phases import probation as living
from device_client.core.phases import proving
from device_client.core.policy import Policy
from device_client.core.state import Phase, State, Target
from device_client.core.variants import switching as refit
from protocol.messages.device import Evidence
from protocol.messages.manifest import Encoding

NO_ROOM_RECHECK_S: Final = 600.0


def begin(state: State, target: Target, now_s: float, *, because: str = "") -> Step:
    """Begin, or begin again after a restart: what is there already is found by its hash. `because`: what pressed."""
    reason = f"fetching {target.version} ({target.choice}){because}"[:500]
    state = state.enters(Phase.FETCHING, reason, now_s, target=target)
    first = target.variant.sha256 if _is_at_hand(state, target) else target.manifest.golden.sha256
    return _open(state, target, first)


def blob_opened(policy: Policy, state: State, event: BlobOpened, now_s: float) -> Step:
    """The store has looked. Lists name more chunks, so an empty answer is an end only here."""
    fetch, target = state.moment.download, state.device.target
    if target is None or fetch is None or fetch.sha256 != event.sha256:
        return state, ()
    fetch = download.opened(fetch, event.missing, event.kept_chunks, event.total_chunks)
    state = state.with_moment(download=fetch, pace=pace.started(state.moment.pace, now_s))
    if not event.missing:
        size_bytes, encoding = _expected(target, event.sha256)
        return state, (FinishBlob(event.sha256, size_bytes, encoding),)
    return _ask(policy, state, now_s)


def blob_ready(policy: Policy, state: State, event: BlobReady, now_s: float) -> Step:
    """A file is whole: after the golden set comes the model, after the model its proof.

    A recalled version whose file is still here proved itself, on this device: a way back waits for no broker.
    """
    target = state.device.target
    fetch = state.moment.download
    if target is None or fetch is None or event.sha256 != fetch.sha256:
        return state, ()
    if event.sha256 != target.variant.sha256:
        return _open(state, target, target.variant.sha256)
    state = state.with_moment(download=None)
    if _is_at_hand(state, target):
        return living.go_live(policy, state.with_device(evidence=Evidence()), "its file is still here", now_s)
    return proving.begin(policy, state, now_s)


def blob_broken(policy: Policy, state: State, event: BlobBroken, now_s: float) -> Step:
    """Every chunk was right and the whole is not: asking again would bring the same."""
    fetch = state.moment.download
    if fetch is None or event.sha256 != fetch.sha256:
        return state, ()
    return proving.reject(state, event.reason, now_s)


def disk_failed(policy: Policy, state: State, event: DiskFailed, now_s: float) -> Step:
    """No room: wait for it; the live model is not touched."""
    state = state.enters(Phase.DEFERRED, event.reason, now_s)
    state = state.with_moment(download=None, next_check_s=now_s + NO_ROOM_RECHECK_S)
    return state, (StopTrial(),)


def chunk_kept(policy: Policy, state: State, event: ChunkKept, now_s: float) -> Step:
    """One more is on the disk."""
    fetch = state.moment.download
    if fetch is None:
        return state, ()
    fetch = download.kept(fetch, event.sha256)
    state = state.with_moment(download=fetch, pace=pace.kept_one(state.moment.pace, now_s))
    return (state, (LookAgain(fetch.sha256),)) if fetch.nothing_missing else _ask(policy, state, now_s)


def chunk_lied(policy: Policy, state: State, event: ChunkLied, now_s: float) -> Step:
    """Ask again in the next round."""
    return _changed(policy, state, now_s, lambda fetch: download.lied(fetch, event.sha256))


def chunks_swept(policy: Policy, state: State, event: ChunksSwept, now_s: float) -> Step:
    """The broker has no more of these."""
    return _changed(policy, state, now_s, lambda fetch: download.swept(fetch, event.sha256s, now_s, policy.download))


def link_down(policy: Policy, state: State, event: LinkDown, now_s: float) -> Step:
    """Wait; the partial file stays."""
    fetch = state.moment.download
    return (state, ()) if fetch is None else (state.with_moment(download=download.cut_off(fetch)), ())


def link_up(policy: Policy, state: State, event: LinkUp, now_s: float) -> Step:
    """Go on where the cut was."""
    return _ask(policy, state, now_s)


def time_passed(policy: Policy, state: State, event: TimePassed, now_s: float) -> Step:
    """Look after late chunks, and now and then after the device itself."""
    state, effects = _ask(policy, state, now_s)
    at_s = state.moment.readings_at_s
    if at_s is None or now_s >= at_s + policy.readings_fresh_s:
        return state, (*effects, TakeReadings())
    return state, effects


def readings_taken(policy: Policy, state: State, event: ReadingsTaken, now_s: float) -> Step:
    """Safety is asked in mid-download too: a battery may run low on the way."""
    target = state.device.target
    needs = Needs(relieves=target is not None and refit.relieves(state.device, target.variant))
    verdict = judge(ConditionQuery(event.readings, policy.thresholds, needs, state.moment.crossed), urgent=True)
    state = state.with_moment(crossed=verdict.crossed)
    if verdict.allowed:
        return state, ()
    state = state.enters(Phase.DEFERRED, f"download interrupted: {verdict.reason}", now_s)
    return state.with_moment(download=None, next_check_s=now_s + policy.readings_fresh_s), (StopTrial(),)


def _is_at_hand(state: State, target: Target) -> bool:
    return target.recalled and state.device.has_file(target.variant.sha256)


def _open(state: State, target: Target, sha256: str) -> Step:
    size_bytes, encoding = _expected(target, sha256)
    return state.with_moment(download=Download(sha256)), (OpenBlob(sha256, size_bytes, encoding),)


def _expected(target: Target, sha256: str) -> tuple[int, Encoding]:
    if sha256 == target.variant.sha256:
        return target.variant.size_bytes, target.encoding
    return target.manifest.golden.size_bytes, target.golden_encoding


def _changed(policy: Policy, state: State, now_s: float, change: download.Change) -> Step:
    fetch = state.moment.download
    if fetch is None:
        return state, ()
    return _ask(policy, state.with_moment(download=change(fetch)), now_s)


def _ask(policy: Policy, state: State, now_s: float) -> Step:
    fetch = state.moment.download
    if fetch is None or not state.moment.link_up:
        return state, ()
    fetch, ask = download.ask(fetch, now_s, policy.download)
    state = state.with_moment(download=fetch)
    if ask.stalled:
        return _stall(policy, state, fetch, now_s)
    effects: list[Effect] = []
    if ask.sweep:
        effects.append(SweepChunks(ask.sweep))
    if ask.wants:
        effects.append(SendWants(ask.wants))
    return state, tuple(effects)


def _stall(policy: Policy, state: State, fetch: Download, now_s: float) -> Step:
    missing = len(fetch.failed) + len(fetch.queue) - fetch.at
    reason = (
        f"the broker lacks {missing} of {fetch.total_chunks} chunks after {policy.download.barren_rounds_max} rounds;"
        " `publisher serve` puts them back"
    )
    state = state.enters(Phase.STALLED, reason, now_s)
    state = state.with_moment(download=None, next_check_s=now_s + policy.download.stalled_retry_s)
    return state, (StopTrial(),)
