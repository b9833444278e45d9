"""The one SQLite file of a device: opened whole, begun anew when it is damaged, read where it cannot be written.

One process at a time, any thread. A disk that is full, read-only or failing still lets a device see what it knew, so
that it serves; each write tries whether the disk can be written again. Knows no table: `journal` does.
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

from device_client.adapters.storage.disk import FAILING, FULL, DiskTrouble, refusal, tried
from device_client.adapters.storage.folder_lock import hold
from protocol.errors import BadInput, FerryError

BUSY_WAIT_S: Final = 5.0  # for readers such as `device-client status`
SHARED_BYTES: Final = 65_536  # SQLite's index of its log takes half of that at the least, and a log needs some too
_FORMAT: Final = 1
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_DISK: Final = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})

log = logging.getLogger(__name__)
T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class Database:
    """Held from its making to `close`. Everything in it raises Busy, NoRoom or another FerryError, never SQLite's."""

    def __init__(self, path: Path, schema: str, *, lost: str) -> None:
        """`lost`: what is lost where it must be begun anew, for the message. Raises Busy, BadInput, NoRoom."""
        self.path = path
        self.damage = ""  # what was lost, when it had to be begun anew
        self._schema, self._lost = schema, lost
        self._mutex = Lock()
        self._connection: sqlite3.Connection | None = None
        self._unwritable: DiskTrouble | None = None  # why the connection only reads
        self._doubtful = False  # the disk failed under it: a write begins with a fresh one
        self._held: int | None = hold(path.with_name(f"{path.name}.lock"))
        try:
            with plain_words(path):
                self._opened()
        except BaseException:
            self.close()
            raise

    def read(self, work: Work[T]) -> T:
        """What `work` finds, on a disk that cannot be written too."""
        with self._mutex, plain_words(self.path):
            try:
                return self._done(work)
            except sqlite3.DatabaseError as trouble:
                if code(trouble) not in _DISK:
                    raise
                self._let_go()
                return self._done(work)

    def write(self, work: Work[T]) -> T:
        """One transaction that has reached the disk. Raises NoRoom while the disk cannot be written."""
        with self._mutex, plain_words(self.path):
            if self._doubtful or self._unwritable:
                self._let_go()
            self._opened()
            if self._unwritable:
                raise self._unwritable.error(self.path)
            try:
                return self._done(work)
            except sqlite3.DatabaseError as trouble:
                self._doubtful = code(trouble) in _DISK
                raise

    def close(self) -> None:
        """Let another process have it. A second time does nothing: the descriptor's number may be another's by then."""
        with self._mutex:
            self._let_go()
            held, self._held = self._held, None
            if held is not None:
                os.close(held)

    def _done(self, work: Work[T]) -> T:
        """When the file turns out to be damaged, the same once more on a fresh one."""
        try:
            with self._opened() as connection:
                return work(connection)
        except sqlite3.DatabaseError as trouble:
            if not is_damage(trouble):
                raise
            self._let_go()
            self._begin_anew(trouble)
            with self._opened() as connection:
                return work(connection)

    def _opened(self) -> sqlite3.Connection:
        if self._held is None:
            raise FerryError(f"the journal {self.path} was closed")
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        told = self._unwritable
        self._doubtful, self._unwritable = False, None
        try:
            connection = self._connect()
        except sqlite3.DatabaseError as trouble:
            if is_damage(trouble):
                self._begin_anew(trouble)
                return self._connect()
            found = disk_trouble(trouble, self.path)
            if found is None:
                raise
            try:
                connection = view(self.path)
            except sqlite3.DatabaseError:
                raise trouble from None
            self._unwritable = found
            if told != found:
                log.error("%s; what is there can be read", found.error(self.path))
        return connection

    def _connect(self) -> sqlite3.Connection:
        """Open and look through the whole file. Writes nothing where all is there. Raises DatabaseError, FerryError."""
        connection = sqlite3.connect(
            self.path, timeout=BUSY_WAIT_S, check_same_thread=False, isolation_level="IMMEDIATE"
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise _damage(found)
            _check_format(connection, self.path)
            connection.executescript(self._schema)
        except BaseException:
            connection.close()
            raise
        return connection

    def _let_go(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):  # what it had to say was said by the call that failed
                self._connection.close()
        self._connection = None

    def _begin_anew(self, trouble: sqlite3.DatabaseError) -> None:
        aside = self.path.with_name(f"{self.path.name}.damaged")
        for ending in ("", "-wal", "-shm"):
            source = self.path.with_name(self.path.name + ending)
            aside.with_name(aside.name + ending).unlink(missing_ok=True)
            if source.exists():
                source.rename(aside.with_name(aside.name + ending))
        self.damage = f"the journal {self.path} was damaged ({trouble}) and begun anew; {self._lost}"
        log.error("%s; the damaged file is now %s", self.damage, aside)


def view(path: Path) -> sqlite3.Connection:
    """What the file and its log hold, without writing a byte: a disk that is full or read-only has no room for locks.

    Only for who holds the file, or where nobody does. Raises sqlite3.DatabaseError.
    """
    logged = path.with_name(f"{path.name}-wal")
    # a file that was closed well is all there is; a log that a power cut left is read with it, and never replayed
    how = "readonly_shm=1" if logged.exists() and logged.stat().st_size else "immutable=1"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro&{how}", uri=True, timeout=BUSY_WAIT_S, check_same_thread=False
    )
    try:
        if connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0] == 0:
            raise _error("nothing was ever written to it", sqlite3.SQLITE_CANTOPEN)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def glance(path: Path) -> Iterator[sqlite3.Connection]:
    """A look from another process, whether the device runs or not. Raises BadInput, NoRoom."""
    with plain_words(path):
        connection = _glancing(path)
        try:
            yield connection
        finally:
            connection.close()


def _glancing(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True, timeout=BUSY_WAIT_S)
    try:
        connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as trouble:
        connection.close()
        if code(trouble) not in _DISK:
            raise
        return view(path)
    return connection


@contextmanager
def plain_words(path: Path) -> Iterator[None]:
    """Turns the trouble of the database and of the disk under it into an error that a person can act upon."""
    try:
        yield
    except sqlite3.DatabaseError as trouble:
        found = disk_trouble(trouble, path)
        if found is not None:
            raise found.error(path) from None
        anew = "`device-client run` puts it aside and begins anew"
        hint = anew if is_damage(trouble) else "check who owns its folder, and the disk"
        raise BadInput(f"the journal {path} cannot be used: {trouble}", hint=hint) from None
    except OSError as refused:
        raise refusal(refused, f"the journal {path} is damaged and cannot be put aside") from None


def disk_trouble(trouble: sqlite3.DatabaseError, path: Path) -> DiskTrouble | None:
    """What is wrong with the disk, where that is what the database stumbled over; None where it is something else."""
    kind = code(trouble)
    if kind == sqlite3.SQLITE_FULL:
        return FULL
    if kind not in _DISK:
        return None
    return tried(path.parent, SHARED_BYTES) or (FAILING if kind == sqlite3.SQLITE_IOERR else None)


def is_damage(trouble: sqlite3.DatabaseError) -> bool:
    """Whether the file is no database any more."""
    return code(trouble) in _DAMAGED


def code(trouble: sqlite3.DatabaseError) -> int:
    """SQLite's own, without its details."""
    return getattr(trouble, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    written = connection.execute("PRAGMA user_version").fetchone()[0]
    if written > _FORMAT:
        raise FerryError(
            f"the journal {path} was written by a newer client (format {written})", hint="install that version again"
        )
    if written < _FORMAT:
        connection.execute(f"PRAGMA user_version = {_FORMAT}")


def _damage(found: str) -> sqlite3.DatabaseError:
    return _error(found, sqlite3.SQLITE_CORRUPT)


def _error(said: str, number: int) -> sqlite3.DatabaseError:
    trouble = sqlite3.DatabaseError(said)
    trouble.sqlite_errorcode = number
    return trouble
