"""Fetching one blob, chunk by chunk: a window of questions, rounds of asking again, and an end.

Pure: what was kept is known to the store, which rehashes it after a cut; here are only the questions under way. A list
chunk comes first and names more, so when nothing is missing the store is asked to look again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from device_client.core.policy import DownloadLimits
from protocol.messages.device import WANTS_MAX
from protocol.messages.manifest import CHUNK_BYTES


@dataclass(frozen=True, slots=True)
class Download:
    """Where the fetching of one blob stands. `queue` from `at` on was not asked yet in this round."""

    sha256: str
    queue: tuple[str, ...] = ()
    at: int = 0
    asked: tuple[tuple[str, float], ...] = ()  # chunk, when to give up on it
    failed: tuple[str, ...] = ()
    kept_chunks: int = 0
    total_chunks: int = 1
    kept_this_round: int = 0
    barren_rounds: int = 0
    retry_at_s: float | None = None
    next_ask_s: float = 0.0

    @property
    def percent(self) -> float:
        """How much is kept, 0-100."""
        return min(100.0, 100.0 * self.kept_chunks / max(1, self.total_chunks))

    @property
    def nothing_missing(self) -> bool:
        """Whether all that was known to be missing has come."""
        return self.at >= len(self.queue) and not self.asked and not self.failed


Change = Callable[[Download], Download]


@dataclass(frozen=True, slots=True)
class ChunkRequest:
    """What to do next: chunks to sweep, chunks to send word of, or give up."""

    sweep: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    stalled: bool = False


def opened(download: Download, missing: tuple[str, ...], kept: int, total: int) -> Download:
    """The store has looked: these are missing now."""
    return replace(
        download, queue=missing, at=0, asked=(), failed=(), kept_chunks=kept, total_chunks=total, retry_at_s=None
    )


def kept(download: Download, sha256: str) -> Download:
    """A chunk was written; the broker gives chunks again, so patience starts anew."""
    asked = tuple(entry for entry in download.asked if entry[0] != sha256)
    failed = tuple(name for name in download.failed if name != sha256)
    queue, at = download.queue, download.at
    if len(asked) == len(download.asked) and len(failed) == len(download.failed):
        left = queue[at:]
        if sha256 not in left:
            return download  # came twice
        queue, at = tuple(name for name in left if name != sha256), 0  # so late that it was to be asked again
    return replace(
        download,
        queue=queue,
        at=at,
        asked=asked,
        failed=failed,
        kept_chunks=download.kept_chunks + 1,
        kept_this_round=download.kept_this_round + 1,
        barren_rounds=0,
    )


def lied(download: Download, sha256: str) -> Download:
    """A chunk came with other bytes: ask again in the next round."""
    if all(name != sha256 for name, _ in download.asked):
        return download
    asked = tuple(entry for entry in download.asked if entry[0] != sha256)
    return replace(download, asked=asked, failed=(*download.failed, sha256))


def swept(download: Download, sha256s: tuple[str, ...], now_s: float, limits: DownloadLimits) -> Download:
    """The broker has sent all that it has of these: what does not come within the grace is not there."""
    names = set(sha256s)
    give_up_s = now_s + limits.absent_grace_s
    asked = tuple((name, min(until, give_up_s) if name in names else until) for name, until in download.asked)
    return replace(download, asked=asked)


def cut_off(download: Download) -> Download:
    """The link is gone: what was under way is asked again when it is back, at nobody's expense."""
    left = tuple(name for name, _ in download.asked) + download.failed + download.queue[download.at :]
    return replace(download, queue=left, at=0, asked=(), failed=(), retry_at_s=None, kept_this_round=0)


def ask(download: Download, now_s: float, limits: DownloadLimits) -> tuple[Download, ChunkRequest]:
    """Fill the window, close a round that is over, and open the next one when it is due."""
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
    """When `ask` should be called again at the latest."""
    times = [until for _, until in download.asked]
    if download.retry_at_s is not None:
        times.append(download.retry_at_s)
    elif download.at < len(download.queue) and len(download.asked) < limits.window and not _hopeless(download):
        times.append(download.next_ask_s)
    return min(times, default=None)


def _hopeless(download: Download) -> bool:
    """So many failed that asking on would only take time: first word must go out, and a pause be made."""
    return len(download.failed) >= WANTS_MAX


def _round_is_over(download: Download) -> bool:
    asked_all = download.at >= len(download.queue) or _hopeless(download)
    return asked_all and bool(download.failed) and not download.asked


def _give_up_late_ones(download: Download, now_s: float) -> Download:
    late = tuple(name for name, until in download.asked if now_s >= until)
    if not late:
        return download
    asked = tuple(entry for entry in download.asked if now_s < entry[1])
    return replace(download, asked=asked, failed=download.failed + late)


def _end_round(download: Download, now_s: float, limits: DownloadLimits) -> tuple[Download, ChunkRequest]:
    barren = 0 if download.kept_this_round else download.barren_rounds + 1
    if barren >= limits.barren_rounds_max:
        return download, ChunkRequest(stalled=True)
    pause_s = min(limits.retry_max_s, limits.retry_min_s * 2.0 ** max(0, barren - 1))
    waiting = replace(download, barren_rounds=barren, retry_at_s=now_s + pause_s)
    return waiting, ChunkRequest(wants=download.failed[:WANTS_MAX])


def _fill(download: Download, now_s: float, limits: DownloadLimits) -> tuple[Download, ChunkRequest]:
    if now_s < download.next_ask_s or _hopeless(download):
        return download, ChunkRequest()
    room = limits.window - len(download.asked)
    batch = download.queue[download.at : download.at + max(0, room)]
    if not batch:
        return download, ChunkRequest()
    next_ask_s = now_s
    if limits.rate_max_bytes_s:
        batch = batch[:1]
        next_ask_s = now_s + CHUNK_BYTES / limits.rate_max_bytes_s
    until_s = now_s + limits.chunk_timeout_s
    asked = download.asked + tuple((name, until_s) for name in batch)
    return replace(download, at=download.at + len(batch), asked=asked, next_ask_s=next_ask_s), ChunkRequest(sweep=batch)
