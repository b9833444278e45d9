"""SQLite for both sides: faults by code, and transactions as a whole or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.host.sqlite import Fault, error_with_code, fault_of, open_database, transaction


def opened(path: Path, mode: str = "rwc") -> sqlite3.Connection:
    return open_database(path, busy_timeout_s=0.0, mode=mode)


def a_full_disk(folder: Path) -> None:
    connection = opened(folder / "full.db")
    connection.executescript("CREATE TABLE t (x BLOB); PRAGMA max_page_count = 2;")
    connection.execute("INSERT INTO t VALUES (zeroblob(100000))")


def a_second_writer(folder: Path) -> None:
    first, second = opened(folder / "busy.db"), opened(folder / "busy.db")
    first.execute("BEGIN IMMEDIATE")
    second.execute("BEGIN IMMEDIATE")


def a_write_to_a_reader(folder: Path) -> None:
    opened(folder / "read.db").execute("CREATE TABLE t (x)")
    opened(folder / "read.db", "ro").execute("INSERT INTO t VALUES (1)")


def a_missing_file(folder: Path) -> None:
    opened(folder / "missing.db", "rw")


def another_file(folder: Path) -> None:
    (folder / "text.db").write_text("no database at all" * 100)
    opened(folder / "text.db").execute("SELECT * FROM sqlite_master")


def a_wrong_statement(folder: Path) -> None:
    opened(folder / "any.db").execute("SELECT * FROM nowhere")


@pytest.mark.parametrize(
    ("provoke", "fault"),
    [
        (a_full_disk, Fault.FULL),
        (a_second_writer, Fault.BUSY),
        (a_write_to_a_reader, Fault.UNWRITABLE),
        (a_missing_file, Fault.UNWRITABLE),
        (another_file, Fault.DAMAGED),
        (a_wrong_statement, Fault.OTHER),
    ],
)
def test_a_fault_is_known_by_its_code(tmp_path: Path, provoke: Callable[[Path], None], fault: Fault) -> None:
    with pytest.raises(sqlite3.DatabaseError) as raised:
        provoke(tmp_path)
    assert fault_of(raised.value) is fault


@pytest.mark.parametrize("extended", [sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR])
def test_an_extended_code_is_the_fault_of_its_primary_code(extended: int) -> None:
    assert fault_of(error_with_code("disk I/O error: the disk is full of locked files", extended)) is Fault.IO_ERROR


def test_an_error_without_a_code_is_another_fault() -> None:
    assert fault_of(sqlite3.ProgrammingError("Cannot operate on a closed database.")) is Fault.OTHER


def test_a_transaction_that_raises_leaves_nothing(tmp_path: Path) -> None:
    connection = opened(tmp_path / "a.db")
    connection.execute("CREATE TABLE t (x)")

    def fails_halfway() -> None:
        with transaction(connection) as rows:
            rows.execute("INSERT INTO t VALUES (1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails_halfway()
    with transaction(connection) as rows:
        rows.execute("INSERT INTO t VALUES (2)")
    assert opened(tmp_path / "a.db", "ro").execute("SELECT x FROM t").fetchall() == [(2,)]
