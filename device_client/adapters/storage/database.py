"""The SQLite file of a device: replaced when damaged, read-only when the disk is.

One process at a time, any thread. A full, read-only or failing disk still gives what it
holds, so that the device serves; each write tests whether the disk is writable again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final, TypeVar

from device_client.adapters.storage.disk import FAILING, FULL, DiskTrouble, os_error, probe_disk
from device_client.adapters.storage.folder_lock import hold
from protocol.errors import BadInput, FerryError
from protocol.host.sqlite import Fault, error_with_code, fault_of, format_of, make_durable, open_database, transaction

BUSY_TIMEOUT_S: Final = 5.0  # for readers such as `device-client status`
SHARED_BYTES: Final = 65_536  # SQLite's index of its log takes at least half of that, and a log needs some too
_FORMAT: Final = 1
_DISK: Final = frozenset({Fault.IO_ERROR, Fault.UNWRITABLE})

log = logging.getLogger(__name__)
T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class JournalDatabase:
    """Locked until `close`. Raises Busy, NoRoom, BadInput, never SQLite's errors."""

    def __init__(self, path: Path, schema: str, *, lost: str) -> None:
        """`lost`: what a replaced file loses, for the message."""
        self.path = path
        self.damage = ""  # what was lost, after a damaged file was replaced
        self._schema, self._lost = schema, lost
        self._mutex = Lock()
        self._connection: sqlite3.Connection | None = None
        self._unwritable: DiskTrouble | None = None  # why the connection is read-only
        self._suspect = False  # the disk failed during a write: the next one reconnects
        self._lock_descriptor: int | None = hold(path.with_name(f"{path.name}.lock"))
        try:
            with translated_errors(path):
                self._connected()
        except BaseException:
            self.close()
            raise

    def read(self, work: Work[T]) -> T:
        with self._mutex, translated_errors(self.path):
            try:
                return self._run(work)
            except sqlite3.DatabaseError as error:
                if fault_of(error) not in _DISK:
                    raise
                self._disconnect()
                return self._run(work)

    def write(self, work: Work[T]) -> T:
        """Run one durable transaction. Raises NoRoom while the disk is not writable."""

        def in_transaction(connection: sqlite3.Connection) -> T:
            with transaction(connection):
                return work(connection)

        with self._mutex, translated_errors(self.path):
            if self._suspect or self._unwritable:
                self._disconnect()
            self._connected()
            if self._unwritable:
                raise self._unwritable.error(self.path)
            try:
                return self._run(in_transaction)
            except sqlite3.DatabaseError as error:
                self._suspect = fault_of(error) in _DISK
                raise

    def close(self) -> None:
        """Unlock the file; once, as the number of a descriptor may be reused."""
        with self._mutex:
            self._disconnect()
            descriptor, self._lock_descriptor = self._lock_descriptor, None
            if descriptor is not None:
                os.close(descriptor)

    def _run(self, work: Work[T]) -> T:
        """Run `work`; when the file is found damaged, replace it and run again."""
        try:
            return work(self._connected())
        except sqlite3.DatabaseError as error:
            if fault_of(error) is not Fault.DAMAGED:
                raise
            self._disconnect()
            self._replace(error)
            return work(self._connected())

    def _connected(self) -> sqlite3.Connection:
        if self._lock_descriptor is None:
            raise FerryError(f"the journal {self.path} was closed")
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        """Connect to write or, on a disk that cannot be written, to read."""
        logged = self._unwritable
        self._suspect, self._unwritable = False, None
        try:
            return self._connect_to_write()
        except sqlite3.DatabaseError as error:
            if fault_of(error) is Fault.DAMAGED:
                self._replace(error)
                return self._connect_to_write()
            trouble = disk_trouble(error, self.path)
            if trouble is None:
                raise
            try:
                connection = connect_read_only(self.path)
            except sqlite3.DatabaseError:
                raise error from None
        self._unwritable = trouble
        if trouble != logged:
            log.error("%s; what is there can be read", trouble.error(self.path))
        return connection

    def _connect_to_write(self) -> sqlite3.Connection:
        """Check the whole file; write nothing when its tables are there."""
        connection = open_database(self.path, busy_timeout_s=BUSY_TIMEOUT_S)
        try:
            make_durable(connection)
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise error_with_code(found, sqlite3.SQLITE_CORRUPT)
            _check_format(connection, self.path)
            connection.executescript(self._schema)
        except BaseException:
            connection.close()
            raise
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):  # the call that failed has raised it already
                self._connection.close()
        self._connection = None

    def _replace(self, error: sqlite3.DatabaseError) -> None:
        aside = self.path.with_name(f"{self.path.name}.damaged")
        for ending in ("", "-wal", "-shm"):
            source = self.path.with_name(self.path.name + ending)
            aside.with_name(aside.name + ending).unlink(missing_ok=True)
            if source.exists():
                source.rename(aside.with_name(aside.name + ending))
        self.damage = f"the journal {self.path} was damaged ({error}) and replaced by a new one; {self._lost}"
        log.error("%s; the damaged file is now %s", self.damage, aside)


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Read file and log without a write, even of locks: none else may have it open."""
    wal = path.with_name(f"{path.name}-wal")
    # a log that a power cut left is read, never replayed; without one, read the file
    options = "&readonly_shm=1" if wal.exists() and wal.stat().st_size else "&immutable=1"
    connection = open_database(path, busy_timeout_s=BUSY_TIMEOUT_S, mode="ro", options=options)
    try:
        if connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0] == 0:
            raise error_with_code("nothing was ever written to it", sqlite3.SQLITE_CANTOPEN)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def foreign_reader(path: Path) -> Iterator[sqlite3.Connection]:
    """Read the file while another process may have it. Raises BadInput, NoRoom."""
    with translated_errors(path):
        connection = open_database(path, busy_timeout_s=BUSY_TIMEOUT_S, mode="ro")
        try:
            connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        except sqlite3.DatabaseError as error:
            connection.close()
            if fault_of(error) not in _DISK:
                raise
            connection = connect_read_only(path)
        try:
            yield connection
        finally:
            connection.close()


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        trouble = disk_trouble(error, path)
        if trouble is not None:
            raise trouble.error(path) from None
        put_aside = "`device-client run` puts it aside and starts a new one"
        hint = put_aside if fault_of(error) is Fault.DAMAGED else "check who owns its folder, and the disk"
        raise BadInput(f"the journal {path} cannot be used: {error}", hint=hint) from None
    except OSError as error:
        raise os_error(error, f"the journal {path} is damaged and cannot be put aside") from None


def disk_trouble(error: sqlite3.DatabaseError, path: Path) -> DiskTrouble | None:
    """The fault of the disk that caused the error; None when it did not."""
    fault = fault_of(error)
    if fault is Fault.FULL:
        return FULL
    if fault not in _DISK:
        return None
    return probe_disk(path.parent, SHARED_BYTES) or (FAILING if fault is Fault.IO_ERROR else None)


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    written = format_of(connection)
    if written > _FORMAT:
        raise FerryError(
            f"the journal {path} was written by a newer client (format {written})", hint="install that version again"
        )
    if written < _FORMAT:
        connection.execute(f"PRAGMA user_version = {_FORMAT}")
