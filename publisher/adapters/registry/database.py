"""The registry's SQLite file: tables, migrations, and its errors as FerryErrors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, Final

from protocol.errors import BadInput, Busy, Damaged, FerryError, NoRoom
from protocol.host.sqlite import Fault, fault_of, format_of, make_durable, open_database, transaction

BUSY_TIMEOUT_S: Final = 30
CACHE_BYTES: Final = 8 * 1024 * 1024

MIGRATIONS: Final = (
    """
    CREATE TABLE versions (
        model TEXT NOT NULL, version TEXT NOT NULL, manifest BLOB NOT NULL, lineage TEXT NOT NULL, added TEXT NOT NULL,
        number INTEGER NOT NULL, PRIMARY KEY (model, version)
    ) WITHOUT ROWID;
    CREATE TABLE announcements (
        model TEXT PRIMARY KEY, sequence INTEGER NOT NULL, plan BLOB NOT NULL, bundle BLOB NOT NULL,
        announced INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE metadata (name TEXT PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE cuts (root TEXT NOT NULL, blob TEXT NOT NULL, PRIMARY KEY (root, blob)) WITHOUT ROWID;
    CREATE TABLE slices (
        sha256 BLOB NOT NULL, blob TEXT NOT NULL, position INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
        PRIMARY KEY (sha256, blob)
    ) WITHOUT ROWID;
    CREATE INDEX slices_of_blob ON slices (blob);
    CREATE TABLE nodes (sha256 BLOB PRIMARY KEY, content BLOB NOT NULL);
    CREATE TABLE uploads (broker TEXT NOT NULL, sha256 BLOB NOT NULL, PRIMARY KEY (broker, sha256)) WITHOUT ROWID;
    CREATE TABLE devices (name TEXT PRIMARY KEY, groups TEXT NOT NULL, enrolled TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    """,
    """
    CREATE TABLE trainings (
        number INTEGER PRIMARY KEY AUTOINCREMENT, model TEXT NOT NULL, at TEXT NOT NULL, lineage TEXT NOT NULL,
        files TEXT NOT NULL
    );
    CREATE INDEX trainings_of_model ON trainings (model, number);
    """,
)
"""One script per schema version; a registry runs those it lacks. Add, never edit."""


class RegistryDatabase:
    """One connection for all threads. Raises NoRoom, Busy, BadInput, Damaged."""

    def __init__(self, path: Path, *, create: bool = False, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.path = path
        self._lock = RLock()
        with self._translated_errors():
            self._connection = open_database(path, busy_timeout_s=busy_timeout_s, mode="rwc" if create else "rw")
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit the block as a whole, on the disk when it ends, or nothing of it."""
        with self._lock, self._translated_errors(), transaction(self._connection) as connection:
            yield connection

    def rows(self, query: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock, self._translated_errors():
            return self._connection.execute(query, arguments).fetchall()

    def _prepare(self) -> None:
        make_durable(self._connection)  # an announced plan must survive a power cut
        self._connection.execute(f"PRAGMA cache_size = -{CACHE_BYTES // 1024}")
        written = format_of(self._connection)
        if written > len(MIGRATIONS):
            raise BadInput(
                f"{self.path} was written by a newer EdgeFerry (its format is {written},"
                f" this one knows {len(MIGRATIONS)})",
                hint="upgrade this installation",
            )
        if written < len(MIGRATIONS):
            self._migrate()

    def _migrate(self) -> None:
        with self.transaction() as connection:
            # read again under the lock: another process may have migrated it
            for number in range(format_of(connection), len(MIGRATIONS)):
                for statement in MIGRATIONS[number].split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number + 1}")

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _translated(error, self.path) from error


def _translated(error: sqlite3.Error, path: Path) -> FerryError:
    match fault_of(error):
        case Fault.FULL:
            return NoRoom(f"no room to write {path}", hint="free some space on that disk and run the command again")
        case Fault.BUSY:
            return Busy(f"another command keeps writing {path}", hint="wait for it, or end it")
        case Fault.UNWRITABLE:
            return BadInput(f"{path} cannot be written: {error}", hint="run this as the user who owns the registry")
        case Fault.IO_ERROR:
            return Damaged(f"the disk under {path} fails: {error}", hint="look at the system's log, and at your backup")
    return Damaged(
        f"the registry's database {path} is damaged: {error}",
        hint="bring the registry back from your backup; devices keep running what they have",
    )
