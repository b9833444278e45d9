"""The engine: save before acting, wait for a full disk, publish only what is new."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import Any

import pytest

from device_client.core.conditions.readings import Unknown
from device_client.core.events import BlobOpened, ChildEnd, ChunkKept, LinkDown, ReadingsTaken
from device_client.core.policy import TrialLimits
from device_client.core.state import Device, Phase
from device_client.engine.event_queue import DISK_RETRY_S
from device_client.engine.file_effects import CURRENT_RETRY_S
from device_client.engine.status_publisher import PROGRESS_PAUSE_S
from protocol.errors import BlobDamaged, BundleExpired, NoRoom
from protocol.messages.device import Wants
from tests.builders import a_hash, a_tally, fit_readings
from tests.engine_harness import EngineHarness
from tests.life import LONG_S
from tests.simulation.device import Disk

OLD, NEW = "1.0.0", "2.0.0"
FULL = NoRoom("the disk is full", hint="remove files")
ENOSPC = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def room() -> EngineHarness:
    """A device that has just started and knows nothing."""
    room = EngineHarness()
    room.starts()
    return room


@pytest.fixture
def settled(room: EngineHarness) -> EngineHarness:
    """A device that runs 1.0.0, found good."""
    room.commits(OLD)
    room.diary.clear()
    room.said.clear()
    return room


# the good road


def test_a_release_goes_from_a_bundle_to_a_served_file_and_a_report(room: EngineHarness) -> None:
    room.commits(OLD)
    room.commits(NEW, sequence=2)
    live, order = room.serving.live, room.prover.order
    assert live is not None
    assert order is not None
    assert (live.path, live.version, live.variant) == (room.path(NEW), NEW, "float32")
    assert live.labels == tuple("0123456789")
    assert room.disk.current == room.sha256(NEW)
    beside = {file.sha256 for version in (OLD, NEW) for file in room.registry.manifests[version].files}
    assert room.disk.files == {room.sha256(OLD), room.sha256(NEW), *beside}
    assert [(outcome.outcome, outcome.version) for outcome in room.outcomes] == [("adopted", OLD), ("adopted", NEW)]
    assert (order.model, order.variant, order.wall_max_s) == (room.path(NEW), "float32", 60.0)


def test_after_a_restart_the_live_model_is_served_before_there_is_a_link(settled: EngineHarness) -> None:
    settled.boot()
    settled.diary.clear()
    settled.engine.start()
    assert f"swap {OLD}" in settled.diary
    assert settled.said == []


# remember, then act


def test_everything_is_remembered_before_anything_is_done(room: EngineHarness) -> None:
    room.plans(OLD)
    assert room.diary.index("save") < room.diary.index("has")
    room.sends_chunks()
    room.diary.clear()
    room.prover.ends()
    assert room.phase is Phase.PROBATION
    assert room.diary[:2] == ["save", "close_partial"]
    assert room.diary.index("save") < room.diary.index("swap 1.0.0") < room.diary.index("make_current")


def test_a_report_is_in_the_outbox_in_the_very_write_that_remembers_it(settled: EngineHarness) -> None:
    settled.commits(NEW, sequence=2)
    remembered = Device.model_validate_json(settled.disk.state or b"")
    assert remembered.phase is Phase.COMMITTED
    assert [outcome.version for outcome in settled.outcomes] == [OLD, NEW]
    assert "save" in settled.diary
    assert "enqueue" not in settled.diary


def test_what_changes_nothing_is_not_written(settled: EngineHarness) -> None:
    saves = settled.diary.count("save")
    settled.plans(OLD)  # the same bundle, as at every connection
    settled.engine.handle(ReadingsTaken(fit_readings()))
    settled.waits(1.0)
    assert settled.diary.count("save") == saves


def test_new_metadata_is_remembered_even_when_the_plan_is_the_same(settled: EngineHarness) -> None:
    settled.disk.trusted = {}
    settled.boot()
    settled.starts()
    settled.plans(OLD)
    assert settled.disk.trusted == {"timestamp.json": b"1.0.0 1"}


@pytest.mark.parametrize("failure", [FULL, ENOSPC])
def test_while_nothing_can_be_remembered_nothing_is_done_and_nothing_lost(room: EngineHarness, failure: Any) -> None:
    room.journal.failure = failure
    room.diary.clear()
    room.plans(OLD)
    assert "has" not in room.diary
    room.engine.handle(LinkDown("a tree"))
    room.engine.link_up()
    room.plans(OLD, sequence=2)
    room.waits(DISK_RETRY_S - 1)
    assert room.engine.wake_s() == 1_000.0 + DISK_RETRY_S
    room.waits(1)
    assert "has" not in room.diary  # still full
    room.journal.failure = None
    room.waits(DISK_RETRY_S)
    assert room.engine.state.device.plan is not None
    assert room.engine.state.device.plan.sequence == 2
    room.sends_chunks()
    assert room.phase is Phase.PROVING


@pytest.mark.parametrize("failure", [FULL, ENOSPC])
def test_a_start_in_mid_update_on_a_disk_that_cannot_be_written_serves_what_was_live(
    settled: EngineHarness, failure: Any
) -> None:
    settled.plans(NEW, sequence=2)
    settled.sends_chunks()
    assert settled.phase is Phase.PROVING
    settled.boot()
    settled.journal.failure = failure
    settled.diary.clear()
    settled.starts()
    settled.waits(DISK_RETRY_S)
    settled.waits(DISK_RETRY_S)
    assert settled.diary.count(f"swap {OLD}") == 1
    assert settled.statuses[-1].reason.startswith("the device's disk cannot be written: ")
    assert "has" not in settled.diary[settled.diary.index("make_current") :], "nothing else is done"
    settled.journal.failure = None
    settled.waits(DISK_RETRY_S)
    settled.sends_chunks()
    assert settled.phase is Phase.PROVING


def test_a_damaged_live_file_on_a_disk_that_cannot_be_written_gives_way_to_the_previous_one(
    settled: EngineHarness,
) -> None:
    settled.commits(NEW, sequence=2)
    settled.disk.files.discard(settled.sha256(NEW))
    settled.boot()
    settled.journal.failure = FULL
    settled.diary.clear()
    settled.starts()
    settled.waits(DISK_RETRY_S)
    assert [entry for entry in settled.diary if entry.startswith("swap")] == [f"swap {OLD}"]
    settled.journal.failure = None
    settled.waits(DISK_RETRY_S)
    assert "1.0.0 serves instead" in settled.statuses[-1].reason


def test_a_disk_that_stays_full_for_days_fills_no_memory(room: EngineHarness) -> None:
    room.journal.failure = FULL
    for number in range(1, 100):
        room.plans(OLD, sequence=number)
        room.engine.handle(LinkDown("a tree"))
        room.engine.link_up()
        room.waits(DISK_RETRY_S)
    assert len(room.engine._queue) <= 5  # what waits first, and the last of each kind
    room.journal.failure = None
    room.waits(DISK_RETRY_S)
    assert room.engine.state.moment.link.up
    assert room.engine.state.device.plan is not None
    assert room.engine.state.device.plan.sequence == 99


def test_a_disk_in_trouble_is_told_and_no_longer_when_it_is_over(room: EngineHarness) -> None:
    room.journal.failure = FULL
    room.plans(OLD)
    assert room.statuses[-1].reason.startswith("the device's disk cannot be written: the disk is full")
    room.journal.failure = None
    room.waits(DISK_RETRY_S)
    assert "cannot be written" not in room.statuses[-1].reason


def test_a_chunk_that_comes_while_nothing_can_be_remembered_is_asked_for_again_later(room: EngineHarness) -> None:
    room.plans(OLD)
    waiting = list(room.swept)
    room.journal.failure = FULL
    room.plans(NEW, sequence=2)
    for topic in waiting:
        sha256 = topic.rsplit("/", 1)[1]
        room.engine.chunk_arrived(sha256, room.registry.chunks[sha256])
    assert "keep" not in room.diary
    room.journal.failure = None
    room.waits(DISK_RETRY_S)
    room.sends_chunks()
    assert room.phase is Phase.PROVING


# a full disk, call by call


@pytest.mark.parametrize("failure", [FULL, ENOSPC])
@pytest.mark.parametrize("call", ["open_partial", "keep", "held", "finish", "has"])
def test_a_disk_that_fails_in_mid_download_defers_it_and_it_ends_well_later(
    settled: EngineHarness, call: str, failure: Any
) -> None:
    settled.store.failures[call] = failure
    settled.plans(NEW, sequence=2)
    settled.sends_chunks()
    assert settled.statuses[-1].state == "deferred"
    assert "disk" in settled.engine.state.device.reason or "space" in settled.engine.state.device.reason
    assert settled.statuses[-1].installed_version == OLD
    del settled.store.failures[call]
    settled.waits(600.0)
    settled.sends_chunks()
    assert settled.phase is Phase.PROVING


@pytest.mark.parametrize("failure", [FULL, ENOSPC])
def test_a_disk_without_room_for_the_current_link_speaks_against_no_model(settled: EngineHarness, failure: Any) -> None:
    settled.store.failures["make_current"] = failure
    settled.goes_live(NEW, sequence=2)
    assert settled.phase is Phase.PROBATION
    assert settled.serving.live is not None
    assert settled.serving.live.version == NEW
    assert settled.disk.current == settled.sha256(OLD)
    assert [swap.version for swap in settled.swaps] == [OLD], "who follows the link would read the old file"
    settled.store.failures.clear()
    settled.waits(CURRENT_RETRY_S)
    assert settled.disk.current == settled.sha256(NEW)
    assert [swap.version for swap in settled.swaps] == [OLD, NEW]


def test_an_observer_is_called_for_each_swap_with_its_reason_and_at_a_start(
    settled: EngineHarness,
) -> None:
    settled.goes_live(NEW, sequence=2)
    settled.serving.counts = a_tally(agreed=0, live_errors=200)
    settled.waits(4_000.0)
    assert settled.phase is Phase.ROLLED_BACK
    assert [(swap.version, swap.variant, swap.state) for swap in settled.swaps] == [
        (OLD, "float32", "probation"),
        (NEW, "float32", "probation"),
        (OLD, "float32", "rolled_back"),
    ]
    assert settled.swaps[2].reason == settled.statuses[-1].reason
    settled.boot()
    settled.starts()
    assert [swap.version for swap in settled.swaps[3:]] == [OLD]


def test_a_swap_that_fails_is_not_told(settled: EngineHarness) -> None:
    settled.plans(NEW, sequence=2)
    settled.sends_chunks()
    settled.prover.ends()
    settled.serving.broken = {NEW}  # it shadowed well
    settled.waits(4_000.0)
    assert settled.phase is Phase.ROLLED_BACK
    assert [(swap.version, swap.state) for swap in settled.swaps] == [(OLD, "probation"), (OLD, "rolled_back")]


def test_the_current_link_that_is_owed_is_tried_again_and_not_in_haste(settled: EngineHarness) -> None:
    settled.store.failures["make_current"] = FULL
    settled.boot()
    settled.store.failures["make_current"] = FULL
    settled.starts()
    assert settled.engine.wake_s() == settled.time.now_s + CURRENT_RETRY_S
    settled.waits(CURRENT_RETRY_S)
    assert settled.engine.wake_s() == settled.time.now_s + CURRENT_RETRY_S
    assert (settled.phase, settled.engine.state.device.live is not None) == (Phase.COMMITTED, True)


@pytest.mark.parametrize(("call", "failure"), [("keep_only", FULL), ("keep_only", ENOSPC), ("close_partial", ENOSPC)])
def test_a_disk_that_cannot_be_tidied_does_not_hinder_the_update(
    settled: EngineHarness, call: str, failure: Any
) -> None:
    settled.store.failures[call] = failure
    settled.commits(NEW, sequence=2)


def test_a_signed_tree_that_is_none_is_refused_and_the_device_lives_on(settled: EngineHarness) -> None:
    settled.plans(NEW, sequence=2)
    settled.store.failures["keep"] = BlobDamaged("the tree has a chunk in the wrong place")
    settled.sends_chunks()
    assert (settled.phase, settled.outcomes[-1].outcome) == (Phase.REJECTED, "rejected")
    assert "a chunk in the wrong place" in settled.outcomes[-1].reason


# bundles and chunks


def test_a_refused_bundle_keeps_the_state_and_the_status_says_why(settled: EngineHarness) -> None:
    before = settled.engine.state.device
    settled.engine.bundle_arrived(b"a lie")
    assert settled.engine.state.device == before
    assert settled.statuses[-1].reason.endswith(
        "the last bundle was not taken: signed by a stranger (nothing was changed)"
    )
    settled.plans(OLD)
    assert "not taken" not in settled.statuses[-1].reason


@pytest.mark.parametrize(
    ("refusal", "pause_s"),
    [(NoRoom("a temporary file cannot be written"), 10.0), (BundleExpired("it has expired: in 2038"), 60.0)],
)
def test_a_bundle_that_was_refused_for_what_passes_is_looked_at_again_and_not_in_haste(
    settled: EngineHarness, refusal: Any, pause_s: float
) -> None:
    settled.refusal = refusal
    settled.plans(NEW, sequence=2)
    assert f"{pause_s:.0f} s" in settled.statuses[-1].reason
    assert settled.engine.wake_s() == settled.time.now_s + pause_s
    said, looks = len(settled.statuses), settled.looks
    settled.waits(pause_s - 1)
    assert settled.looks == looks
    for _ in range(3):
        settled.waits(pause_s)
    assert (settled.looks, len(settled.statuses)) == (looks + 3, said), "tried in peace, and told once"
    settled.refusal = None
    settled.waits(pause_s)
    assert settled.engine.state.device.plan is not None
    assert settled.engine.state.device.plan.sequence == 2
    assert "not taken" not in settled.statuses[-1].reason
    looks = settled.looks
    settled.waits(10 * pause_s)
    assert settled.looks == looks


def test_of_bundles_that_wait_the_last_is_kept_and_a_lie_puts_none_of_them_out(settled: EngineHarness) -> None:
    settled.refusal = NoRoom("a temporary file cannot be written")
    settled.plans(NEW, sequence=2)
    settled.plans(NEW, sequence=3)
    settled.refusal = None
    settled.engine.bundle_arrived(b"a lie")
    settled.waits(10.0)
    assert settled.engine.state.device.plan is not None
    assert settled.engine.state.device.plan.sequence == 3


def test_an_emptied_announcement_is_no_news(settled: EngineHarness) -> None:
    settled.engine.bundle_arrived(b"")
    assert settled.said == []


def test_a_chunk_that_is_not_ours_is_ignored(room: EngineHarness) -> None:
    stranger = b"of another model"
    room.engine.chunk_arrived(a_hash("x"), stranger)
    room.plans(OLD)
    room.diary.clear()
    room.engine.chunk_arrived(a_hash("of another model"), stranger)
    assert room.engine.state.moment.download is not None
    assert room.engine.state.moment.download.kept_chunks == 0
    room.sends_chunks()
    assert room.phase is Phase.PROVING


def test_a_lying_chunk_is_not_kept_and_asked_for_again(room: EngineHarness) -> None:
    room.plans(OLD)
    [topic] = room.swept
    room.swept.clear()
    room.engine.chunk_arrived(topic.rsplit("/", 1)[1], b"a lie")
    assert room.swept == []
    room.waits(10.0)
    assert room.swept == [topic]


def test_wants_name_the_chunks_that_the_broker_lacks(room: EngineHarness) -> None:
    room.plans(OLD)
    [topic] = room.swept
    room.engine.chunk_arrived(topic.rsplit("/", 1)[1], b"a lie")
    [(said, payload, retained)] = [entry for entry in room.said if entry[0].endswith("/wants")]
    assert (said, retained) == ("fleet/v1/devices/pi-1/digits/wants", False)
    assert Wants.from_line(payload).chunks == (topic.rsplit("/", 1)[1],)


# models that fail


def test_a_model_that_cannot_be_opened_at_its_swap_leaves_the_old_one_serving(settled: EngineHarness) -> None:
    settled.plans(NEW, sequence=2)
    settled.sends_chunks()
    settled.prover.ends()
    settled.serving.broken = {NEW}
    settled.waits(4_000.0)
    assert settled.phase is Phase.ROLLED_BACK
    assert settled.serving.live is not None
    assert settled.serving.live.version == OLD
    assert settled.disk.current == settled.sha256(OLD)
    assert settled.outcomes[-1].outcome == "rolled_back"


def test_a_live_file_that_is_broken_at_start_is_fetched_anew(settled: EngineHarness) -> None:
    settled.disk.files.clear()
    settled.serving.broken = {OLD}
    settled.boot()
    settled.starts()
    assert settled.engine.state.device.live is None
    settled.serving.broken = set()
    settled.sends_chunks()
    settled.prover.ends()
    settled.waits(1.0)
    assert (settled.phase, settled.disk.current) == (Phase.COMMITTED, settled.sha256(OLD))


def test_a_file_that_is_not_what_was_signed_is_never_opened(settled: EngineHarness) -> None:
    settled.commits(NEW, sequence=2)
    settled.disk.files.discard(settled.sha256(NEW))  # cut short while the power was off
    settled.boot()
    settled.diary.clear()
    settled.starts()
    assert f"swap {NEW}" not in settled.diary, "the runtime would end the process"
    assert settled.diary.count(f"swap {OLD}") == 1
    assert settled.statuses[-1].installed_version == OLD
    assert "its file is gone, or holds other bytes than were signed; 1.0.0 serves instead" in (
        settled.statuses[-1].reason
    )
    settled.sends_chunks()
    settled.prover.ends()
    settled.waits(4_000.0)
    assert (settled.phase, settled.disk.current) == (Phase.COMMITTED, settled.sha256(NEW))


def test_a_shadow_whose_file_is_damaged_is_not_opened_either(settled: EngineHarness) -> None:
    settled.goes_live(NEW, sequence=2)
    settled.disk.files.discard(settled.sha256(OLD))
    settled.boot()
    settled.diary.clear()
    settled.starts()
    assert f"shadow {OLD}" not in settled.diary
    assert settled.phase is Phase.PROBATION


def test_a_proof_that_fails_is_told_with_its_reason(settled: EngineHarness) -> None:
    settled.plans(NEW, sequence=2)
    settled.sends_chunks()
    child = ChildEnd(1.25, "exit status 0", 60_000_000)
    settled.prover.ends(passed=False, reason="output 3 differs by 0.4", child=child)
    assert settled.outcomes[-1].reason == "output 3 differs by 0.4"
    evidence = settled.outcomes[-1].evidence
    assert evidence.golden_samples == 16
    figures = (evidence.proof_wall_s, evidence.proof_ended, evidence.proof_memory_peak_bytes)
    assert figures == (1.25, "exit status 0", 60_000_000)


def test_what_the_device_could_not_try_is_not_refused_and_tried_again(settled: EngineHarness) -> None:
    settled.plans(NEW, sequence=2)
    settled.sends_chunks()
    settled.prover.cannot("[Errno 24] Too many open files")
    assert (settled.phase, len(settled.outcomes)) == (Phase.DEFERRED, 1)
    status = settled.engine.status()
    assert status.reason == "2.0.0 could not be tried here: [Errno 24] Too many open files"
    assert status.next_check is not None
    settled.waits(600.0)
    settled.prover.ends()
    assert settled.phase is Phase.SHADOWING


def test_a_hold_is_heard_before_another_version_answers(settled: EngineHarness) -> None:
    settled.plans(NEW, sequence=2)
    settled.sends_chunks()
    settled.prover.ends()
    settled.sensors.readings = fit_readings(held="an operation")
    settled.waits(LONG_S)
    assert (settled.phase, settled.engine.status().reason) == (
        Phase.SHADOWING,
        "2.0.0 may answer, and waits: the application holds updates: an operation",
    )
    settled.sensors.readings = fit_readings()
    settled.waits(1.0)
    assert settled.serving.live is not None
    assert settled.serving.live.version == NEW


# outcomes


def test_the_id_of_an_outcome_is_the_same_when_the_power_went_before_it_was_sent() -> None:
    ids = set()
    for _ in range(2):
        room = EngineHarness(disk=Disk())
        room.starts()
        room.commits(OLD)
        ids.add(room.outcomes[0].event_id)
    assert len(ids) == 1


def test_every_outcome_has_an_id_of_its_own(settled: EngineHarness) -> None:
    settled.plans(NEW, sequence=2)
    settled.sends_chunks()
    settled.prover.ends(passed=False)
    assert len({outcome.event_id for outcome in settled.outcomes}) == 2


def test_a_memory_that_cannot_be_read_is_a_beginning_anew(settled: EngineHarness) -> None:
    settled.disk.state = b'{"phase": "levitating"}'
    settled.boot()
    settled.starts()
    assert settled.phase is Phase.IDLE
    settled.commits(OLD, sequence=3)


# statuses


def test_a_status_is_said_at_every_connection_and_then_only_when_it_differs(settled: EngineHarness) -> None:
    settled.engine.link_up()
    assert len(settled.statuses) == 1
    for _ in range(5):
        settled.waits(60.0)
        settled.engine.handle(ReadingsTaken(fit_readings()))
    assert len(settled.statuses) == 1


def test_nothing_is_said_without_a_link(settled: EngineHarness) -> None:
    settled.engine.handle(LinkDown("a tree"))
    settled.plans(NEW, sequence=2)
    assert settled.said == []
    settled.engine.link_up()
    assert settled.statuses[-1].state == "fetching"


def test_a_status_says_when_the_device_looks_again_and_a_promise_that_is_past_is_renewed(
    settled: EngineHarness,
) -> None:
    settled.sensors.readings = fit_readings(battery_percent=3.0)
    settled.plans(NEW, sequence=2)
    first = settled.statuses[-1]
    assert first.next_check is not None
    assert (first.next_check - first.at).total_seconds() == 30.0
    said = len(settled.statuses)
    settled.waits(29.0)
    assert len(settled.statuses) == said
    settled.waits(2.0)
    assert len(settled.statuses) == said + 1
    assert settled.statuses[-1].next_check != first.next_check


def opened(room: EngineHarness, kept: int, total: int) -> None:
    """The store has looked: this much is there of what is then the only file."""
    download = room.engine.state.moment.download
    assert download is not None
    room.engine.state = room.engine.state.with_moment(activity=replace(download, bytes_of=0))
    missing = tuple(a_hash(f"chunk {number}") for number in range(kept, total))
    room.engine.handle(BlobOpened(download.sha256, missing, kept, total))


@pytest.fixture
def fetching(settled: EngineHarness) -> EngineHarness:
    """In the middle of a download of 100 chunks, its beginning told."""
    settled.plans(NEW, sequence=2)
    settled.waits(PROGRESS_PAUSE_S)
    opened(settled, 0, 100)
    settled.waits(PROGRESS_PAUSE_S)
    return settled


def test_progress_is_told_in_steps_of_ten_percent(fetching: EngineHarness) -> None:
    said = len(fetching.statuses)
    for number in range(100):
        fetching.time.now_s += 2 * PROGRESS_PAUSE_S
        fetching.engine.handle(ChunkKept(a_hash(f"chunk {number}")))
        if fetching.phase is not Phase.FETCHING or fetching.engine.state.moment.download is None:
            break
    percents = [status.update_percentage for status in fetching.statuses[said:]]
    assert percents[:9] == [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0]


def test_progress_alone_is_told_once_a_second_and_the_last_of_it_is_not_lost(fetching: EngineHarness) -> None:
    opened(fetching, 20, 100)
    said = len(fetching.statuses)
    for kept in (30, 40, 50):
        opened(fetching, kept, 100)
    assert len(fetching.statuses) == said
    assert fetching.engine.wake_s() == fetching.time.now_s + PROGRESS_PAUSE_S
    fetching.waits(PROGRESS_PAUSE_S)
    assert [status.update_percentage for status in fetching.statuses[said:]] == [50.0]
    later = fetching.engine.wake_s()
    assert later is None or later > fetching.time.now_s


def test_news_within_the_second_is_told_at_once(fetching: EngineHarness) -> None:
    opened(fetching, 20, 100)
    said = len(fetching.statuses)
    opened(fetching, 40, 100)
    fetching.plans(OLD, sequence=3)
    assert [status.state for status in fetching.statuses[said:]] == ["committed"]


def test_progress_that_had_to_wait_is_forgotten_with_the_link(fetching: EngineHarness) -> None:
    opened(fetching, 20, 100)
    opened(fetching, 40, 100)
    fetching.engine.handle(LinkDown("a tree"))
    wake_s = fetching.engine.wake_s()
    assert wake_s is None or wake_s > fetching.time.now_s + PROGRESS_PAUSE_S


# readings


@pytest.mark.parametrize(("probed", "expected"), [(Unknown("not probed"), 12.0), (900.0, 900.0)])
def test_the_round_trip_is_the_links_own_unless_a_probe_says_otherwise(
    settled: EngineHarness, probed: Any, expected: float
) -> None:
    settled.sensors.readings = fit_readings(round_trip_ms=probed)
    settled.plans(NEW, sequence=2)
    assert settled.engine.state.moment.seen.readings.round_trip_ms == expected


def test_the_counts_are_asked_of_the_serving(settled: EngineHarness) -> None:
    settled.plans(NEW, sequence=2)
    settled.sends_chunks()
    settled.prover.ends()
    settled.serving.counts = a_tally(100, agreed=10)
    settled.waits(TrialLimits().labels_wait_s)
    assert "10%" in settled.outcomes[-1].reason
