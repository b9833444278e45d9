"""The journal: atomic at a power cut, and never a device that cannot start."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from device_client.adapters.storage.journal import Journal, StoredModel, read_stored
from device_client.core.outbox_entry import OutboxEntry
from protocol.errors import BadInput, Busy, FerryError, NoRoom

PROJECT = Path(__file__).resolve().parents[5]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    opened = Journal(path)
    yield opened
    opened.close()


def an_event(event_id: str, payload: bytes = b"{}") -> OutboxEntry:
    return OutboxEntry(event_id, "fleet/v1/devices/pi-1/digits/event", payload, 1_700_000_000.0, "event")


def some_feedback(event_id: str, payload: bytes = b"{}") -> OutboxEntry:
    return OutboxEntry(event_id, "fleet/v1/devices/pi-1/digits/feedback", payload, 1_700_000_000.0, "feedback")


def test_what_was_saved_is_there_after_a_restart(path: Path) -> None:
    first = Journal(path)
    first.save("digits", b'{"phase":"idle"}', [an_event("e-1")], {"root.json": b"r1", "targets.json": b"t1"})
    first.close()
    second = Journal(path)
    assert second.load("digits") == b'{"phase":"idle"}'
    assert second.trusted("digits") == {"root.json": b"r1", "targets.json": b"t1"}
    assert second.waiting() == [an_event("e-1")]
    second.close()


def test_models_do_not_mix(journal: Journal) -> None:
    journal.save("digits", b"1", trusted={"root.json": b"digits"})
    journal.save("plants", b"2", trusted={"root.json": b"plants"})
    assert (journal.load("digits"), journal.load("plants"), journal.load("faces")) == (b"1", b"2", None)
    assert journal.trusted("digits") == {"root.json": b"digits"}


def test_saving_without_metadata_leaves_the_metadata(journal: Journal) -> None:
    journal.save("digits", b"1", trusted={"root.json": b"r", "old.json": b"o"})
    journal.save("digits", b"2")
    assert journal.trusted("digits") == {"root.json": b"r", "old.json": b"o"}
    journal.save("digits", b"3", trusted={"root.json": b"r2"})
    assert journal.trusted("digits") == {"root.json": b"r2"}


def test_a_report_waits_until_it_is_delivered(journal: Journal) -> None:
    journal.save("digits", b"1", [an_event("e-1"), an_event("e-2")])
    journal.save("digits", b"1", [an_event("e-1")])  # the effect is repeated after a crash
    assert [entry.event_id for entry in journal.waiting()] == ["e-1", "e-2"]
    journal.delivered("e-1")
    journal.delivered("e-1")
    assert [entry.event_id for entry in journal.waiting()] == ["e-2"]


def test_feedback_gives_way_when_room_is_short_and_events_never_do(path: Path) -> None:
    journal = Journal(path, feedback_budget_bytes=1_000)
    for number in range(10):
        journal.enqueue([some_feedback(f"f-{number}", bytes(300)), an_event(f"e-{number}", bytes(300))])
    waiting = [entry.event_id for entry in journal.waiting()]
    assert [name for name in waiting if name.startswith("f")] == ["f-7", "f-8", "f-9"]
    assert len([name for name in waiting if name.startswith("e")]) == 10
    assert journal.feedback_dropped() == 7
    journal.close()


def test_each_start_has_its_own_session_number(path: Path) -> None:
    numbers = []
    for _ in range(3):
        journal = Journal(path)
        numbers.append(journal.next_session())
        journal.close()
    assert numbers == [1, 2, 3]


def test_a_second_process_is_told_who_is_there(journal: Journal) -> None:
    program = (
        "import sys; from pathlib import Path; from device_client.adapters.storage.journal import Journal\n"
        "from protocol.errors import Busy\n"
        "try:\n    Journal(Path(sys.argv[1]))\n"
        "except Busy as busy:\n    print(busy); sys.exit(7)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(journal.path)], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (7, "")
    assert str(os.getpid()) in run.stdout


def test_the_same_process_cannot_hold_it_twice(journal: Journal) -> None:
    with pytest.raises(Busy, match=str(os.getpid())):
        Journal(journal.path)


def test_a_journal_that_was_let_go_can_be_had_at_once(path: Path) -> None:
    Journal(path).close()
    Journal(path).close()


WRITER = """
import sys
from pathlib import Path
from device_client.adapters.storage.journal import Journal
from device_client.core.outbox_entry import OutboxEntry
journal = Journal(Path(sys.argv[1]))
for number in range(100_000):
    entry = OutboxEntry(f"e-{number}", "topic", b"x" * 200, 0.0, "event")
    journal.save("digits", str(number).encode(), [entry], {"targets.json": str(number).encode()})
    print(number, flush=True)
"""


@pytest.mark.parametrize("after", [1, 7, 40])
def test_a_kill_leaves_state_metadata_and_outbox_of_one_moment(path: Path, after: int) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    said = 0
    while said < after:
        said = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    said = int((writer.stdout.read().split() or [str(said)])[-1])
    writer.wait()
    writer.stdout.close()
    journal = Journal(path)
    state = int(journal.load("digits") or b"-1")
    assert state >= said  # what was said to be saved is saved
    assert journal.trusted("digits") == {"targets.json": str(state).encode()}
    assert [entry.event_id for entry in journal.waiting()] == [f"e-{number}" for number in range(state + 1)]
    journal.close()


@pytest.mark.parametrize("spoiled", [b"this is no database", bytes(100_000), b"SQLite format 3\0" + b"\xff" * 9_000])
def test_a_damaged_file_is_put_aside_and_the_device_starts(
    path: Path, spoiled: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(spoiled)
    with caplog.at_level(logging.ERROR):
        journal = Journal(path)
    assert journal.load("digits") is None
    journal.save("digits", b"fresh")
    assert journal.load("digits") == b"fresh"
    assert path.with_name("journal.db.damaged").read_bytes() == spoiled
    assert "lost: what was remembered of the update, reports not yet sent" in journal.damage
    assert journal.damage in caplog.text
    journal.close()


def test_a_page_that_rots_at_rest_is_found_at_the_next_start(path: Path) -> None:
    journal = Journal(path)
    for number in range(200):
        journal.save("digits", b"1", [an_event(f"e-{number}", bytes(500))])
    journal.close()
    with path.open("r+b") as rotting:
        rotting.seek(4096 * 3)
        rotting.write(b"\xa5" * 4096 * 4)
    again = Journal(path)
    assert again.damage
    assert again.waiting() == []
    again.close()


def test_a_file_that_rots_under_a_running_device_does_not_stop_it(path: Path) -> None:
    journal = Journal(path)
    journal.save("digits", b"1", [an_event(f"first-{number}", bytes(5_000)) for number in range(1_000)])
    journal.save("digits", b"1", [an_event("second")])  # moves SQLite's log into the file
    assert path.stat().st_size > 4_000_000
    with path.open("r+b") as rotting:
        rotting.write(b"\xa5" * path.stat().st_size)
    other = sqlite3.connect(path.with_name("journal.db"))  # makes the running connection look at the file again
    other.close()
    journal.save("digits", b"after", [an_event("lost")])
    assert journal.waiting() == [], "reading finds the damage"
    assert path.with_name("journal.db.damaged").exists()
    for number in range(50):
        journal.save("digits", b"later", [an_event(f"later-{number}")])
    assert journal.load("digits") == b"later"
    assert journal.waiting()[-1].event_id == "later-49"
    journal.close()


def test_an_empty_file_is_a_fresh_journal(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    journal = Journal(path)
    assert (journal.damage, journal.load("digits")) == ("", None)
    journal.close()


def test_a_journal_of_a_newer_client_is_refused_and_kept(path: Path) -> None:
    Journal(path).close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(FerryError, match=r"\b99\b"):
        Journal(path)
    assert path.exists()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match=r"/file .*File exists"):
        Journal(tmp_path / "file" / "journal.db")
    (tmp_path / "journal.db").mkdir()
    with pytest.raises(BadInput, match="unable to open database file"):
        Journal(tmp_path / "journal.db")


def test_a_journal_that_may_not_grow_says_so(path: Path) -> None:
    journal = Journal(path)
    journal.save("digits", b"small")
    journal._database.write(lambda tables: tables.execute("PRAGMA max_page_count = 12"))  # a disk of twelve pages
    with pytest.raises(NoRoom, match="full: "):
        journal.save("digits", bytes(1_000_000))
    assert journal.load("digits") == b"small"
    journal.close()


def test_another_process_may_look_at_the_state(journal: Journal, tmp_path: Path) -> None:
    journal.save("digits", b"seen")
    journal.save_log_entry("digits", b"noted")
    assert read_stored(journal.path, "digits") == StoredModel(b"seen", b"noted")
    assert read_stored(journal.path, "plants") == StoredModel()
    assert read_stored(tmp_path / "nowhere.db", "digits") == StoredModel()


def test_any_thread_may_write(journal: Journal) -> None:
    def write(first: int) -> None:
        for number in range(first, first + 25):
            journal.enqueue([an_event(f"e-{number}")])

    threads = [Thread(target=write, args=(first,)) for first in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journal.waiting()) == 75


def test_where_the_detectors_stood_is_kept_with_the_report_and_by_model(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    assert journal.drift_states("digits") is None
    journal.enqueue([], {"digits": b"early", "faces": b"of faces"})
    journal.enqueue([], {"digits": b"late"})
    journal.enqueue([])
    journal.close()
    again = Journal(path)
    assert (again.drift_states("digits"), again.drift_states("faces")) == (b"late", b"of faces")
    again.close()


# a disk that cannot be written


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """To the last byte."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as heavy:
        for size_bytes in (65_536, 4_096, 1):
            with contextlib.suppress(OSError):
                while True:
                    heavy.write(bytes(size_bytes))
    return ballast


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


LIVED = """
import os, sys
from pathlib import Path
from device_client.adapters.storage.journal import Journal
journal = Journal(Path(sys.argv[1]))
journal.save("digits", b"early", trusted={"root.json": b"r"})
journal._database._disconnect()  # all that was logged is in the file now
journal.save("digits", b"known")
if sys.argv[2] == "stops":
    journal.close()
os._exit(0)
"""


@pytest.mark.parametrize("ended", ["stops", "dies"])
@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_a_disk_that_cannot_be_written_still_tells_what_was_known_and_is_written_once_it_can_be(
    small_disk: Path, ended: str, trouble: str
) -> None:
    path = small_disk / "state" / "journal.db"
    subprocess.run([sys.executable, "-c", LIVED, str(path), ended], cwd=PROJECT, check=True)
    ballast = fill(small_disk) if trouble == "full" else None
    if ballast is None:
        remount(small_disk, "ro")
    assert read_stored(path, "digits").state == b"known"
    journal = Journal(path)
    assert (journal.load("digits"), journal.trusted("digits"), journal.waiting()) == (b"known", {"root.json": b"r"}, [])
    for _ in range(2):
        with pytest.raises(NoRoom, match=f"{trouble}: ") as refused:
            journal.save("digits", b"new")
        assert refused.value.hint
        with pytest.raises(NoRoom, match=f"{trouble}: "):
            journal.next_session()
    assert journal.load("digits") == b"known"
    if ballast is None:
        remount(small_disk, "rw")
    else:
        ballast.unlink()
    journal.save("digits", b"new", [an_event("e-1")])
    assert journal.next_session() == 1
    journal.close()
    assert read_stored(path, "digits").state == b"new"


def test_a_first_start_on_a_full_disk_is_refused_with_the_way_out(small_disk: Path) -> None:
    path = small_disk / "state" / "journal.db"
    path.parent.mkdir()
    fill(small_disk)
    with pytest.raises(NoRoom, match="full: "):
        Journal(path)
    remount(small_disk, "ro")
    with pytest.raises(NoRoom, match="read-only: "):
        Journal(path)


def test_closing_twice_closes_nothing_of_others(path: Path) -> None:
    journal = Journal(path)
    journal.close()
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(4)]  # they get the numbers that were let go
    journal.close()
    for other in others:
        os.close(other)
    with pytest.raises(FerryError, match="was closed"):
        journal.load("digits")


def test_a_damaged_journal_that_cannot_be_put_aside_is_said_and_tried_again(path: Path) -> None:
    journal = Journal(path)
    journal.save("digits", b"known")
    aside = path.with_name("journal.db.damaged")
    aside.mkdir()  # in the way
    journal._database._disconnect()
    path.write_bytes(b"this is no database")
    for _ in range(2):
        with pytest.raises(FerryError, match="cannot be put aside"):
            journal.save("digits", b"new")
        with pytest.raises(FerryError, match="cannot be put aside"):
            journal.waiting()
    aside.rmdir()
    journal.save("digits", b"new")
    assert (journal.load("digits"), bool(journal.damage)) == (b"new", True)
    journal.close()
