"""FETCHING and STALLED: golden set, files and model come to the disk, verified."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from device_client.core import effects as do
from device_client.core import events
from device_client.core.conditions.conditions import ConditionQuery, Needs, judge
from device_client.core.download import chunk_scheduler as download
from device_client.core.download import throughput
from device_client.core.download.chunk_scheduler import Download
from device_client.core.effects import Effects, Step
from device_client.core.phases import probation, proving
from device_client.core.phases.records import Fetching
from device_client.core.policy import Policy
from device_client.core.state import Device, Phase, State, Target
from protocol.messages.device import Evidence

NO_ROOM_RECHECK_S: Final = 600.0


def begin(state: State, target: Target, now_s: float, *, note: str = "") -> Step:
    """Begin, or resume after a restart. `note`: ends the reason."""
    reason = f"fetching {target.version} ({target.choice}){note}"
    state = state.enters(Phase.FETCHING, reason, now_s, target=target)
    return _open(state, _wanted(state.device, target), 0)


def blob_opened(policy: Policy, state: State, fetch: Fetching, event: events.BlobOpened, now_s: float) -> Step:
    """Request what is missing; only the store knows when nothing is."""
    if fetch.download.sha256 != event.sha256:
        return state, ()
    blob = download.opened(fetch.download, event.missing, event.kept_chunks, event.total_chunks)
    state = _measured(state, throughput.started(state.moment.seen.throughput, now_s))
    if not event.missing:
        return state.with_moment(activity=blob), _finish(state.device, fetch.target, event.sha256)
    return _request(policy, state, blob, now_s)


def blob_ready(policy: Policy, state: State, fetch: Fetching, event: events.BlobReady, now_s: float) -> Step:
    """A file is whole: after the last one, the model, comes its proof."""
    target = fetch.target
    if event.sha256 != fetch.download.sha256:
        return state, ()
    wanted = _wanted(state.device, target)
    following = next((at + 1 for at, each in enumerate(wanted) if each.sha256 == event.sha256), 0)
    if following < len(wanted):
        return _open(state, wanted, following)
    if _is_at_hand(state.device, target):  # it was proved here before: a way back does not wait for the broker
        state = state.with_device(evidence=Evidence())
        return probation.go_live(policy, state, target, "its file is still here", now_s)
    return proving.begin(policy, state, target, now_s)


def blob_broken(policy: Policy, state: State, fetch: Fetching, event: events.BlobBroken, now_s: float) -> Step:
    """Reject: every chunk was right, so that fetching again brings the same."""
    if event.sha256 != fetch.download.sha256:
        return state, ()
    return proving.reject(state, fetch.target, event.reason, now_s)


def disk_failed(policy: Policy, state: State, fetch: Fetching, event: events.DiskFailed, now_s: float) -> Step:
    """No room: wait for it; the live model is not touched."""
    state = state.enters(Phase.DEFERRED, event.reason, now_s).waits_until(now_s + NO_ROOM_RECHECK_S)
    return state, (do.StopTrial(),)


def chunk_kept(policy: Policy, state: State, fetch: Fetching, event: events.ChunkKept, now_s: float) -> Step:
    """One more chunk is on the disk."""
    blob = download.kept(fetch.download, event.sha256)
    state = _measured(state, throughput.kept_one(state.moment.seen.throughput, now_s))
    if blob.nothing_missing:
        return state.with_moment(activity=blob), (do.RecheckBlob(blob.sha256),)
    return _request(policy, state, blob, now_s)


def chunk_corrupt(policy: Policy, state: State, fetch: Fetching, event: events.ChunkCorrupt, now_s: float) -> Step:
    """Request it again in the next round."""
    return _request(policy, state, download.corrupted(fetch.download, event.sha256), now_s)


def chunks_swept(policy: Policy, state: State, fetch: Fetching, event: events.ChunksSwept, now_s: float) -> Step:
    """The broker has no more of these."""
    return _request(policy, state, download.swept(fetch.download, event.sha256s, now_s, policy.download), now_s)


def link_down(policy: Policy, state: State, fetch: Fetching, event: events.LinkDown, now_s: float) -> Step:
    """Wait; the partial file stays."""
    return state.with_moment(activity=download.cut_off(fetch.download)), ()


def link_up(policy: Policy, state: State, fetch: Fetching, event: events.LinkUp, now_s: float) -> Step:
    """Continue with what is missing."""
    return _request(policy, state, fetch.download, now_s)


def time_passed(policy: Policy, state: State, fetch: Fetching, event: events.TimePassed, now_s: float) -> Step:
    """Give up late chunks, and read the sensors now and then."""
    state, effects = _request(policy, state, fetch.download, now_s)
    at_s = state.moment.seen.at_s
    if at_s is None or now_s >= at_s + policy.readings_fresh_s:
        return state, (*effects, do.TakeReadings())
    return state, effects


def readings_taken(policy: Policy, state: State, fetch: Fetching, event: events.ReadingsTaken, now_s: float) -> Step:
    """Check the safety conditions during the download too: a battery may run low."""
    history, needs = state.moment.history, Needs(relieves=state.device.relieved_by(fetch.target.variant))
    verdict = judge(ConditionQuery(event.readings, policy.thresholds, needs, history.crossed), urgent=True)
    state = state.with_moment(history=replace(history, crossed=verdict.crossed))
    if verdict.allowed:
        return state, ()
    state = state.enters(Phase.DEFERRED, f"download interrupted: {verdict.reason}", now_s)
    return state.waits_until(now_s + policy.readings_fresh_s), (do.StopTrial(),)


def _is_at_hand(device: Device, target: Target) -> bool:
    return target.recalled and device.has_file(target.variant.sha256)


def _wanted(device: Device, target: Target) -> tuple[do.OpenBlob, ...]:
    """The files of a target in the order in which they are fetched, each once."""
    manifest, variant = target.manifest, target.variant
    golden = do.OpenBlob(manifest.golden.sha256, manifest.golden.size_bytes, target.golden_encoding)
    files = (
        do.OpenBlob(file.sha256, file.size_bytes, encoding)
        for file, encoding in zip(manifest.files, target.file_encodings, strict=True)
    )
    model = do.OpenBlob(variant.sha256, variant.size_bytes, target.encoding)
    first = () if _is_at_hand(device, target) else (golden,)
    return tuple({each.sha256: each for each in (*first, *files, model)}.values())


def _open(state: State, wanted: tuple[do.OpenBlob, ...], at: int) -> Step:
    sizes = [each.encoding.tree.size_bytes for each in wanted]
    blob = Download(wanted[at].sha256, sum(sizes[:at]), sum(sizes), sizes[at])
    return state.with_moment(activity=blob), (wanted[at],)


def _finish(device: Device, target: Target, sha256: str) -> Effects:
    found = (each for each in _wanted(device, target) if each.sha256 == sha256)
    return tuple(do.FinishBlob(sha256, each.size_bytes, each.encoding) for each in found)


def _measured(state: State, measured: throughput.Throughput) -> State:
    return state.with_moment(seen=replace(state.moment.seen, throughput=measured))


def _request(policy: Policy, state: State, blob: Download, now_s: float) -> Step:
    if not state.moment.link.up:
        return state.with_moment(activity=blob), ()
    blob, request = download.schedule(blob, now_s, policy.download)
    if request.stalled:
        return _stall(policy, state, blob, now_s)
    sweep: Effects = (do.SweepChunks(request.sweep),) if request.sweep else ()
    wants: Effects = (do.SendWants(request.wants),) if request.wants else ()
    return state.with_moment(activity=blob), sweep + wants


def _stall(policy: Policy, state: State, blob: Download, now_s: float) -> Step:
    missing = len(blob.failed) + len(blob.queue) - blob.at
    reason = (
        f"the broker lacks {missing} of {blob.total_chunks} chunks after {policy.download.barren_rounds_max} rounds;"
        " `publisher serve` puts them back"
    )
    state = state.enters(Phase.STALLED, reason, now_s).waits_until(now_s + policy.download.stalled_retry_s)
    return state, (do.StopTrial(),)
