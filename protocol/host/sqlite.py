"""SQLite connections in autocommit mode, transactions, and errors by their codes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path
from typing import Final


class Fault(Enum):
    FULL = auto()
    BUSY = auto()  # another connection holds a lock
    UNWRITABLE = auto()  # the file cannot be opened, or only be read
    IO_ERROR = auto()
    DAMAGED = auto()  # not a database any more
    OTHER = auto()


_FAULTS: Final = {
    sqlite3.SQLITE_FULL: Fault.FULL,
    sqlite3.SQLITE_BUSY: Fault.BUSY,
    sqlite3.SQLITE_LOCKED: Fault.BUSY,
    sqlite3.SQLITE_CANTOPEN: Fault.UNWRITABLE,
    sqlite3.SQLITE_READONLY: Fault.UNWRITABLE,
    sqlite3.SQLITE_IOERR: Fault.IO_ERROR,
    sqlite3.SQLITE_CORRUPT: Fault.DAMAGED,
    sqlite3.SQLITE_NOTADB: Fault.DAMAGED,
}


def fault_of(error: sqlite3.Error) -> Fault:
    """Classify an error by its primary code, which is the low byte of SQLite's."""
    return _FAULTS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, Fault.OTHER)


def error_with_code(message: str, code: int) -> sqlite3.DatabaseError:
    """An error as SQLite would raise it, for faults that only its caller can see."""
    error = sqlite3.DatabaseError(message)
    error.sqlite_errorcode = code
    return error


def open_database(path: Path, *, busy_timeout_s: float, mode: str = "rwc", options: str = "") -> sqlite3.Connection:
    """Open a file for any thread. `mode`: ro, rw or rwc. `options`: URI parameters."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}{options}",
        uri=True,
        timeout=busy_timeout_s,
        isolation_level=None,
        check_same_thread=False,
    )


def make_durable(connection: sqlite3.Connection) -> None:
    """Flush each transaction to the disk, and let readers not wait for writers."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def format_of(connection: sqlite3.Connection) -> int:
    """The schema version that the file was written with; 0 when nothing was."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
