"""Schedules requests for a blob's chunks: a window, and rounds with backoff.

The store knows which chunks are kept; here are only the requests under way. List chunks
come first and name more, so that the store is read again when nothing is missing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from device_client.core.policy import DownloadLimits
from protocol.messages.device import WANTS_MAX
from protocol.messages.manifest import CHUNK_BYTES


@dataclass(frozen=True, slots=True)
class Download:
    """The download of one blob. `queue[at:]` was not requested yet in this round."""

    sha256: str
    bytes_before: int = 0  # of the version's files that came before this one
    bytes_of: int = 0  # of all of them; 0 for this one alone
    size_bytes: int = 0
    queue: tuple[str, ...] = ()
    at: int = 0
    requested: tuple[tuple[str, float], ...] = ()  # chunk, deadline
    failed: tuple[str, ...] = ()
    kept_chunks: int = 0
    total_chunks: int = 1
    kept_this_round: int = 0
    barren_rounds: int = 0
    retry_at_s: float | None = None
    next_request_s: float = 0.0

    @property
    def percent(self) -> float:
        """Of the chunks kept, over all files of the version, 0-100."""
        share = min(1.0, self.kept_chunks / max(1, self.total_chunks))
        return 100.0 * (self.bytes_before + share * self.size_bytes) / self.bytes_of if self.bytes_of else 100.0 * share

    @property
    def nothing_missing(self) -> bool:
        """Whether all chunks known to be missing have come."""
        return self.at >= len(self.queue) and not self.requested and not self.failed


@dataclass(frozen=True, slots=True)
class ChunkRequest:
    """What to do next: request chunks, report chunks as missing, or stall."""

    sweep: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    stalled: bool = False


def opened(download: Download, missing: tuple[str, ...], kept: int, total: int) -> Download:
    """Begin with what the store reported as missing."""
    return replace(
        download, queue=missing, at=0, requested=(), failed=(), kept_chunks=kept, total_chunks=total, retry_at_s=None
    )


def kept(download: Download, sha256: str) -> Download:
    """A chunk was written; the count of rounds without one starts again."""
    requested = tuple(entry for entry in download.requested if entry[0] != sha256)
    failed = tuple(name for name in download.failed if name != sha256)
    queue, at = download.queue, download.at
    if len(requested) == len(download.requested) and len(failed) == len(download.failed):
        left = queue[at:]
        if sha256 not in left:
            return download  # a duplicate
        queue, at = tuple(name for name in left if name != sha256), 0  # so late that it was queued again
    return replace(
        download,
        queue=queue,
        at=at,
        requested=requested,
        failed=failed,
        kept_chunks=download.kept_chunks + 1,
        kept_this_round=download.kept_this_round + 1,
        barren_rounds=0,
    )


def corrupted(download: Download, sha256: str) -> Download:
    """A chunk came with wrong bytes: request it again in the next round."""
    if all(name != sha256 for name, _ in download.requested):
        return download
    requested = tuple(entry for entry in download.requested if entry[0] != sha256)
    return replace(download, requested=requested, failed=(*download.failed, sha256))


def swept(download: Download, sha256s: tuple[str, ...], now_s: float, limits: DownloadLimits) -> Download:
    """The broker has sent all it has of these; after a grace the rest has failed."""
    names = set(sha256s)
    give_up_s = now_s + limits.absent_grace_s
    requested = tuple((name, min(until, give_up_s) if name in names else until) for name, until in download.requested)
    return replace(download, requested=requested)


def cut_off(download: Download) -> Download:
    """The link is down: requests under way are queued again, and have not failed."""
    left = tuple(name for name, _ in download.requested) + download.failed + download.queue[download.at :]
    return replace(download, queue=left, at=0, requested=(), failed=(), retry_at_s=None, kept_this_round=0)


def schedule(download: Download, now_s: float, limits: DownloadLimits) -> tuple[Download, ChunkRequest]:
    """Fill the window; end a round that is over, and begin the next when it is due."""
    download = _give_up_late_ones(download, now_s)
    if download.retry_at_s is not None:
        if now_s < download.retry_at_s:
            return download, ChunkRequest()
        queue = download.failed + download.queue[download.at :]
        download = replace(download, queue=queue, at=0, failed=(), retry_at_s=None, kept_this_round=0)
    if _round_is_over(download):
        return _end_round(download, now_s, limits)
    return _fill(download, now_s, limits)


def wake_s(download: Download, limits: DownloadLimits) -> float | None:
    """When `schedule` must be called again at the latest."""
    times = [until for _, until in download.requested]
    if download.retry_at_s is not None:
        times.append(download.retry_at_s)
    elif download.at < len(download.queue) and len(download.requested) < limits.window and not _hopeless(download):
        times.append(download.next_request_s)
    return min(times, default=None)


def _hopeless(download: Download) -> bool:
    """So many failed that the round ends early, to report them and pause."""
    return len(download.failed) >= WANTS_MAX


def _round_is_over(download: Download) -> bool:
    all_requested = download.at >= len(download.queue) or _hopeless(download)
    return all_requested and bool(download.failed) and not download.requested


def _give_up_late_ones(download: Download, now_s: float) -> Download:
    late = tuple(name for name, until in download.requested if now_s >= until)
    if not late:
        return download
    requested = tuple(entry for entry in download.requested if now_s < entry[1])
    return replace(download, requested=requested, failed=download.failed + late)


def _end_round(download: Download, now_s: float, limits: DownloadLimits) -> tuple[Download, ChunkRequest]:
    barren = 0 if download.kept_this_round else download.barren_rounds + 1
    if barren >= limits.barren_rounds_max:
        return download, ChunkRequest(stalled=True)
    pause_s = min(limits.retry_max_s, limits.retry_min_s * 2.0 ** max(0, barren - 1))
    waiting = replace(download, barren_rounds=barren, retry_at_s=now_s + pause_s)
    return waiting, ChunkRequest(wants=download.failed[:WANTS_MAX])


def _fill(download: Download, now_s: float, limits: DownloadLimits) -> tuple[Download, ChunkRequest]:
    if now_s < download.next_request_s or _hopeless(download):
        return download, ChunkRequest()
    room = limits.window - len(download.requested)
    batch = download.queue[download.at : download.at + max(0, room)]
    if not batch:
        return download, ChunkRequest()
    next_s = now_s
    if limits.rate_max_bytes_s:
        batch, next_s = batch[:1], now_s + CHUNK_BYTES / limits.rate_max_bytes_s
    requested = download.requested + tuple((name, now_s + limits.chunk_timeout_s) for name in batch)
    download = replace(download, at=download.at + len(batch), requested=requested, next_request_s=next_s)
    return download, ChunkRequest(sweep=batch)
