"""Downloading a blob: window, rate, missing, corrupt and late chunks, rounds."""

from __future__ import annotations

from device_client.core.download import chunk_scheduler as download
from device_client.core.download.chunk_scheduler import ChunkRequest, Download
from device_client.core.policy import DownloadLimits
from protocol.messages.device import WANTS_MAX
from protocol.messages.manifest import CHUNK_BYTES
from tests.builders import a_hash

LIMITS = DownloadLimits(window=4)
T = 100.0


def chunks(count: int) -> tuple[str, ...]:
    return tuple(a_hash(f"chunk {number}") for number in range(count))


def opened(count: int) -> Download:
    return download.opened(Download(a_hash("blob")), chunks(count), kept=0, total=count)


def asked(count: int, limits: DownloadLimits = LIMITS) -> Download:
    """A download of so many chunks that has asked for as many as it may."""
    fetch, _ = download.schedule(opened(count), T, limits)
    return fetch


def names(fetch: Download) -> set[str]:
    return {name for name, _ in fetch.requested}


def test_no_more_than_the_window_is_asked_for() -> None:
    fetch, ask = download.schedule(opened(10), T, LIMITS)
    assert ask.sweep == chunks(10)[:4]
    fetch, ask = download.schedule(fetch, T, LIMITS)
    assert ask == ChunkRequest()
    fetch, ask = download.schedule(download.kept(fetch, chunks(10)[0]), T, LIMITS)
    assert ask.sweep == (chunks(10)[4],)
    assert len(fetch.requested) == 4


def test_a_rate_cap_asks_for_one_chunk_at_a_time_and_then_waits() -> None:
    capped = DownloadLimits(window=4, rate_max_bytes_s=CHUNK_BYTES // 2)
    fetch, ask = download.schedule(opened(3), T, capped)
    assert ask.sweep == chunks(3)[:1]
    assert download.schedule(fetch, T + 1.9, capped)[1] == ChunkRequest()
    assert download.wake_s(fetch, capped) == T + 2.0
    assert download.schedule(fetch, T + 2.0, capped)[1].sweep == chunks(3)[1:2]


def test_what_does_not_come_within_the_grace_after_the_sweep_is_absent() -> None:
    fetch = download.swept(asked(4), chunks(4), T, LIMITS)
    fetch = download.kept(fetch, chunks(4)[0])
    assert download.wake_s(fetch, LIMITS) == T + LIMITS.absent_grace_s
    assert download.schedule(fetch, T + 0.9, LIMITS)[1] == ChunkRequest()
    fetch, ask = download.schedule(fetch, T + 1.0, LIMITS)
    assert ask.wants == chunks(4)[1:]
    assert fetch.retry_at_s == T + 1.0 + LIMITS.retry_min_s


def test_a_sweep_speaks_only_of_its_own_chunks() -> None:
    fetch = download.swept(asked(4), chunks(4)[:2], T, LIMITS)
    fetch, ask = download.schedule(fetch, T + 2.0, LIMITS)
    assert names(fetch) == set(chunks(4)[2:])
    assert ask == ChunkRequest()


def test_without_any_word_a_chunk_is_given_up_after_its_timeout() -> None:
    fetch = asked(2)
    assert download.wake_s(fetch, LIMITS) == T + LIMITS.chunk_timeout_s
    assert download.schedule(fetch, T + 59.0, LIMITS)[1] == ChunkRequest()
    assert download.schedule(fetch, T + 60.0, LIMITS)[1].wants == chunks(2)


def test_a_chunk_that_lied_is_asked_for_again_in_the_next_round() -> None:
    fetch = download.corrupted(asked(1), chunks(1)[0])
    fetch, ask = download.schedule(fetch, T, LIMITS)
    assert ask.wants == chunks(1)
    assert download.schedule(fetch, T + 9.9, LIMITS)[1] == ChunkRequest()
    assert download.schedule(fetch, T + 10.0, LIMITS)[1].sweep == chunks(1)


def test_a_lie_under_a_name_that_was_not_asked_for_changes_nothing() -> None:
    fetch = asked(1)
    assert download.corrupted(fetch, a_hash("another")) == fetch


def test_a_chunk_that_comes_twice_counts_once() -> None:
    once = download.kept(asked(3), chunks(3)[0])
    assert download.kept(once, chunks(3)[0]) == once
    assert (once.kept_chunks, round(once.percent)) == (1, 33)


def test_a_late_chunk_is_welcome_after_it_was_given_up() -> None:
    given_up, _ = download.schedule(asked(2), T + 60.0, LIMITS)
    late = download.kept(given_up, chunks(2)[0])
    assert late.failed == chunks(2)[1:]
    assert late.barren_rounds == 0


def test_a_chunk_so_late_that_it_waits_to_be_asked_for_again_is_not_asked_for_again() -> None:
    narrow = DownloadLimits(window=1)
    fetch, _ = download.schedule(asked(2, narrow), T + 60.0, narrow)  # the first is given up, the second asked for
    fetch, _ = download.schedule(fetch, T + 120.0, narrow)  # that one too: the round is over
    fetch, ask = download.schedule(fetch, T + 130.0, narrow)  # the first again; the second waits its turn
    assert ask.sweep == chunks(2)[:1]
    fetch = download.kept(fetch, chunks(2)[1])
    fetch = download.kept(fetch, chunks(2)[0])
    assert fetch.nothing_missing
    assert fetch.kept_chunks == 2


def test_rounds_without_a_chunk_are_ever_further_apart_and_then_there_is_an_end() -> None:
    limits = DownloadLimits(retry_min_s=10.0, retry_max_s=60.0, barren_rounds_max=5)
    fetch, now_s, pauses = asked(1, limits), T, []
    for _ in range(4):
        fetch, ask = download.schedule(download.corrupted(fetch, chunks(1)[0]), now_s, limits)
        assert ask.wants == chunks(1)
        assert fetch.retry_at_s is not None
        pauses.append(fetch.retry_at_s - now_s)
        now_s = fetch.retry_at_s
        fetch, ask = download.schedule(fetch, now_s, limits)
        assert ask.sweep == chunks(1)
    assert pauses == [10.0, 20.0, 40.0, 60.0]
    assert download.schedule(download.corrupted(fetch, chunks(1)[0]), now_s, limits)[1].stalled


def test_a_round_that_brought_something_starts_patience_anew() -> None:
    limits = DownloadLimits(barren_rounds_max=2)
    fetch, _ = download.schedule(download.corrupted(asked(2, limits), chunks(2)[0]), T, limits)
    fetch = download.corrupted(fetch, chunks(2)[1])
    fetch, _ = download.schedule(fetch, T, limits)
    assert fetch.barren_rounds == 1
    fetch, _ = download.schedule(fetch, T + 10.0, limits)
    fetch = download.corrupted(download.kept(fetch, chunks(2)[0]), chunks(2)[1])
    fetch, ask = download.schedule(fetch, T + 10.0, limits)
    assert (fetch.barren_rounds, ask.stalled) == (0, False)
    assert fetch.retry_at_s == T + 10.0 + limits.retry_min_s


def test_wants_are_bounded_and_the_round_ends_when_so_many_are_lacking() -> None:
    limits = DownloadLimits(window=32)
    fetch, now_s = asked(1_000, limits), T
    ask = ChunkRequest()
    while not ask.wants:
        now_s += limits.chunk_timeout_s
        fetch, ask = download.schedule(fetch, now_s, limits)
    assert len(ask.wants) == WANTS_MAX
    assert fetch.at < 1_000


def test_what_was_put_back_is_asked_for_first_in_the_next_round() -> None:
    limits = DownloadLimits(window=32)
    fetch, now_s = asked(200, limits), T
    ask = ChunkRequest()
    while not ask.wants:
        now_s += limits.chunk_timeout_s
        fetch, ask = download.schedule(fetch, now_s, limits)
    wanted = ask.wants
    _, ask = download.schedule(fetch, now_s + limits.retry_max_s, limits)
    assert set(ask.sweep) <= set(wanted)


def test_a_cut_costs_no_patience_and_everything_under_way_is_asked_for_again() -> None:
    fetch = download.corrupted(asked(6), chunks(6)[0])
    fetch = download.cut_off(fetch)
    assert (fetch.requested, fetch.failed, fetch.retry_at_s, fetch.barren_rounds) == ((), (), None, 0)
    assert set(fetch.queue) == set(chunks(6))
    assert len(download.schedule(fetch, T, LIMITS)[1].sweep) == 4


def test_a_look_at_the_store_forgets_what_was_under_way() -> None:
    fetch = download.opened(asked(4), chunks(2), kept=7, total=9)
    assert (fetch.queue, fetch.requested, fetch.failed) == (chunks(2), (), ())
    assert round(fetch.percent) == 78


def test_progress_never_passes_a_hundred_and_an_empty_blob_is_none() -> None:
    assert download.opened(Download("x"), (), kept=3, total=2).percent == 100.0
    assert Download("x", total_chunks=0).percent == 0.0


def test_nothing_to_do_is_nothing_to_wake_for() -> None:
    assert download.wake_s(Download("x"), LIMITS) is None
    assert download.schedule(Download("x"), T, LIMITS)[1] == ChunkRequest()
