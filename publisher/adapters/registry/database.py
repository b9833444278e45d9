"""The registry's SQLite file: tables, their version, troubles in plain English. What the rows mean is the shelves'."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, Final

from protocol.errors import BadInput, Busy, Damaged, FerryError, NoRoom

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
"""One script per step of the schema's version; an older registry runs the ones it lacks. Never edit one: add."""


class Database:
    """One connection, shared by this process's threads, one transaction at a time."""

    def __init__(self, path: Path, *, create: bool = False, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.path = path
        self._lock = RLock()
        with self._plain_english():
            mode = "rwc" if create else "rw"
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=busy_timeout_s,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that happens inside is on disk at the end, or nothing is. Raises NoRoom, Busy, Damaged."""
        with self._lock, self._plain_english():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.commit()
            except BaseException:
                self._connection.rollback()
                raise

    def rows(self, query: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with self._lock, self._plain_english():
            return self._connection.execute(query, arguments).fetchall()

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")  # an announced plan must survive the power
        self._connection.execute(f"PRAGMA cache_size = -{CACHE_BYTES // 1024}")
        if self._version() > len(MIGRATIONS):
            raise BadInput(
                f"{self.path} was written by a newer EdgeFerry (its format is {self._version()},"
                f" this one knows {len(MIGRATIONS)})",
                hint="upgrade this installation",
            )
        if self._version() < len(MIGRATIONS):
            self._migrate()

    def _migrate(self) -> None:
        with self.transaction() as connection:
            for number in range(self._version(), len(MIGRATIONS)):  # asked again: another process may have been quicker
                for statement in MIGRATIONS[number].split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number + 1}")

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    @contextmanager
    def _plain_english(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as trouble:
            raise _translated(trouble, self.path) from trouble


def _translated(trouble: sqlite3.Error, path: Path) -> FerryError:
    text = str(trouble)
    if "full" in text:
        return NoRoom(f"no room to write {path}", hint="free some space on that disk and run the command again")
    if "locked" in text or "busy" in text:
        return Busy(f"another command keeps writing {path}", hint="wait for it, or end it")
    if "unable to open" in text or "readonly" in text:
        return BadInput(f"{path} cannot be written: {text}", hint="run this as the user who owns the registry")
    if "disk I/O" in text:
        return Damaged(f"the disk under {path} fails: {text}", hint="look at the system's log, and at your backup")
    return Damaged(
        f"the registry's database {path} is damaged: {text}",
        hint="bring the registry back from your backup; devices keep running what they have",
    )
