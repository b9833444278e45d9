"""The status log: rare changes at once, others once a minute, kept over a restart."""

from __future__ import annotations

from datetime import timedelta

from device_client.core.events import LinkDown
from device_client.core.log_entry import LogEntry
from device_client.core.state import Phase
from device_client.engine.status_log import WRITE_PAUSE_S, read_entry
from protocol.errors import NoRoom
from tests.builders import NOON, fit_readings
from tests.engine_harness import EngineHarness


def written(room: EngineHarness) -> LogEntry:
    entry = read_entry(room.journal.load_log_entry("digits"))
    assert entry is not None
    return entry


def deferred() -> EngineHarness:
    room = EngineHarness()
    room.starts()
    room.commits("1.0.0")
    room.sensors.readings = fit_readings(battery_percent=12.0)
    room.plans("2.0.0", sequence=2)
    assert room.phase is Phase.DEFERRED
    return room


def test_the_entry_is_the_status_that_was_published() -> None:
    room = deferred()
    entry = written(room)
    assert entry.status == room.statuses[-1]
    assert ("battery 12 %" in entry.status.reason, entry.crossed) == (True, ("battery",))
    assert entry.status.next_check == entry.status.at + timedelta(seconds=30)
    assert entry.link_up
    assert (entry.plan_since, entry.state_since) == (entry.status.at, entry.status.at)
    assert entry.live_since is not None
    assert NOON <= entry.live_since < entry.status.at


def test_a_lost_link_is_written_although_nobody_can_be_told() -> None:
    room = deferred()
    room.engine.handle(LinkDown("a tree fell on the mast"))
    assert (written(room).link_up, written(room).link_trouble) == (False, "a tree fell on the mast")


def test_readings_that_waver_are_written_once_a_minute() -> None:
    room = deferred()
    before = written(room)
    room.sensors.readings = fit_readings(battery_percent=11.0)
    room.waits(30.0)
    assert "battery 11 %" in room.engine.state.device.reason
    assert written(room) == before
    due_s = room.engine.wake_s()
    assert due_s is not None
    assert due_s <= room.time.now_s + WRITE_PAUSE_S - 30.0
    room.waits(WRITE_PAUSE_S - 30.0)
    assert "battery 11 %" in written(room).status.reason


def test_the_same_deferral_all_day_is_hardly_written() -> None:
    room = deferred()
    entries = {written(room).status.at}
    for _ in range(120):
        room.waits(30.0)
        entries.add(written(room).status.at)
    assert len(entries) <= 12  # in an hour


def test_a_restart_takes_up_since_when() -> None:
    room = deferred()
    before = written(room)
    room.boot()
    room.starts()
    after = written(room)
    assert (after.live_since, after.plan_since) == (before.live_since, before.plan_since)


def test_an_entry_that_cannot_be_written_or_read_stops_nothing() -> None:
    room = deferred()
    room.disk.noted["digits"] = b"{"
    room.boot()
    room.journal.log_failure = NoRoom("the disk is full")
    room.starts()
    room.sensors.readings = fit_readings()
    room.waits(30.0)
    room.sends_chunks()
    assert room.phase is Phase.PROVING
    assert read_entry(room.journal.load_log_entry("digits")) is None
