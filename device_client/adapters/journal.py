"""What a device must not forget at a power cut: state, trusted metadata, and reports not yet acknowledged, in SQLite.

One process at a time, any thread. A damaged database is put aside and a fresh one begun: a device may forget, it may
not brick. Knows nothing of what the bytes mean; `merging` tells which reports may become one.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final, TypeVar

from device_client.merging import Merged, make_room
from device_client.ports import OutboxEntry
from protocol.errors import BadInput, Busy, FerryError, NoRoom

FEEDBACK_BUDGET_BYTES: Final = 262_144
ROOM_SHARE: Final = 0.25  # of the budget that is freed at a time, so that it need not be done at each report
_FORMAT: Final = 1
_BUSY_WAIT_S: Final = 5.0  # for readers such as `device-client status`
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS state (model TEXT PRIMARY KEY, json BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS trusted (model TEXT, name TEXT, metadata BLOB NOT NULL, PRIMARY KEY (model, name));
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE, topic TEXT NOT NULL, payload BLOB NOT NULL,
    at_s REAL NOT NULL, kind TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS sent (event_id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS standings (model TEXT PRIMARY KEY, json BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS logbook (model TEXT PRIMARY KEY, entry BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
_NOTED: Final = "SELECT entry FROM logbook WHERE model = ?"
_FEEDBACK_BYTES: Final = "SELECT IFNULL(SUM(LENGTH(payload)), 0) FROM outbox WHERE kind = 'feedback'"
_UNSENT_FEEDBACK: Final = """
SELECT event_id, topic, payload, at_s, kind FROM outbox
WHERE kind = 'feedback' AND event_id NOT IN (SELECT event_id FROM sent) ORDER BY id"""
_DROP_OLDEST: Final = """
DELETE FROM outbox WHERE id IN (
    SELECT id FROM (
        SELECT id, SUM(LENGTH(payload)) OVER (ORDER BY id DESC) AS bytes FROM outbox WHERE kind = 'feedback'
    ) WHERE bytes > ?
)"""
_LOST: Final = "lost: what was remembered of the update, reports not yet sent, and how new the trusted metadata was"

log = logging.getLogger(__name__)
T = TypeVar("T")


class Journal:
    """The database of one device. Every method that writes has reached the disk when it returns."""

    def __init__(self, path: Path, *, feedback_budget_bytes: int = FEEDBACK_BUDGET_BYTES) -> None:
        """Raises Busy when another process holds it, BadInput when the folder cannot be used, NoRoom."""
        self.path = path
        self.damage = ""  # what was lost, when the database had to be begun anew
        self._feedback_budget_bytes = feedback_budget_bytes
        self._mutex = Lock()
        self._held = _hold(path)
        try:
            self._database = self._open_or_begin_anew()
        except BaseException:
            os.close(self._held)
            raise

    def load(self, model: str) -> bytes | None:
        """What `save` was last given for the model; None when there is nothing."""
        return self._do(lambda database: _first(database, "SELECT json FROM state WHERE model = ?", model))

    def save(
        self,
        model: str,
        state_json: bytes,
        outbox: Sequence[OutboxEntry] = (),
        trusted: Mapping[str, bytes] | None = None,
    ) -> None:
        """Remember all of this or, if the power goes, none of it. `trusted` replaces what there was; None leaves it."""

        def work(database: sqlite3.Connection) -> None:
            database.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (model, state_json))
            self._enqueue(database, outbox)
            if trusted is not None:
                database.execute("DELETE FROM trusted WHERE model = ?", (model,))
                rows = [(model, name, metadata) for name, metadata in trusted.items()]
                database.executemany("INSERT INTO trusted VALUES (?, ?, ?)", rows)

        self._do(work)

    def trusted(self, model: str) -> dict[str, bytes]:
        """The metadata that was last accepted, by name."""
        query = "SELECT name, metadata FROM trusted WHERE model = ? ORDER BY name"
        return dict(self._do(lambda database: database.execute(query, (model,)).fetchall()))

    def note(self, model: str, entry: bytes) -> None:
        """Keep this entry of the model's logbook instead of the one before."""
        self._do(lambda database: database.execute("INSERT OR REPLACE INTO logbook VALUES (?, ?)", (model, entry)))

    def noted(self, model: str) -> bytes | None:
        """What `note` was last given for the model."""
        return self._do(lambda database: _first(database, _NOTED, model))

    def enqueue(self, entries: Sequence[OutboxEntry], standings: Mapping[str, bytes] | None = None) -> None:
        """Put reports in the outbox without a new state. One that is there already, by `event_id`, is not put twice.

        `standings`: by model, where its drift detectors stood by then; what is said of other models stays.
        """

        def work(database: sqlite3.Connection) -> None:
            self._enqueue(database, entries)
            rows = list((standings or {}).items())
            database.executemany("INSERT OR REPLACE INTO standings VALUES (?, ?)", rows)

        self._do(work)

    def standings(self, model: str) -> bytes | None:
        """Where the drift detectors of a model stood when feedback was last put here; None when they never did."""
        return self._do(lambda database: _first(database, "SELECT json FROM standings WHERE model = ?", model))

    def waiting(self) -> list[OutboxEntry]:
        """The reports that no broker has acknowledged, oldest first."""
        query = "SELECT event_id, topic, payload, at_s, kind FROM outbox ORDER BY id"
        return [OutboxEntry(*row) for row in self._do(lambda database: database.execute(query).fetchall())]

    def sending(self, event_ids: Collection[str]) -> frozenset[str]:
        """Which of these reports are still waiting. From now on somebody may have seen them: they are never merged."""

        def work(database: sqlite3.Connection) -> frozenset[str]:
            there = frozenset(row[0] for row in database.execute("SELECT event_id FROM outbox")).intersection(event_ids)
            database.executemany("INSERT OR IGNORE INTO sent VALUES (?)", [(event_id,) for event_id in sorted(there)])
            return there

        return self._do(work)

    def delivered(self, event_id: str) -> None:
        """The broker has it."""

        def work(database: sqlite3.Connection) -> None:
            database.execute("DELETE FROM outbox WHERE event_id = ?", (event_id,))
            database.execute("DELETE FROM sent WHERE event_id = ?", (event_id,))

        self._do(work)

    def next_session(self) -> int:
        """1 at the first start, and one more at each."""
        return self._do(lambda database: _add(database, "session", 1))

    def feedback_dropped(self) -> int:
        """How many feedback windows were lost, ever, for they could not be merged."""
        return self._do(lambda database: _add(database, "feedback_dropped", 0))

    def close(self) -> None:
        """Let another process have it."""
        with self._mutex:
            self._database.close()
            os.close(self._held)

    def _enqueue(self, database: sqlite3.Connection, entries: Sequence[OutboxEntry]) -> None:
        rows = [(entry.event_id, entry.topic, entry.payload, entry.at_s, entry.kind) for entry in entries]
        insert = "INSERT OR IGNORE INTO outbox (event_id, topic, payload, at_s, kind) VALUES (?, ?, ?, ?, ?)"
        database.executemany(insert, rows)
        if any(entry.kind == "feedback" for entry in entries):
            self._make_room(database)

    def _make_room(self, database: sqlite3.Connection) -> None:
        """Merge the oldest feedback until it fits the budget; only what cannot be merged gives way."""
        budget_bytes = self._feedback_budget_bytes
        while (held_bytes := int(database.execute(_FEEDBACK_BYTES).fetchone()[0])) > budget_bytes:
            waiting = [OutboxEntry(*row) for row in database.execute(_UNSENT_FEEDBACK).fetchall()]
            pairs = make_room(waiting, held_bytes - round(budget_bytes * (1 - ROOM_SHARE)))
            if not pairs:
                dropped = database.execute(_DROP_OLDEST, (budget_bytes,)).rowcount
                database.execute("DELETE FROM sent WHERE event_id NOT IN (SELECT event_id FROM outbox)")
                _add(database, "feedback_dropped", dropped)
                return
            for pair in pairs:
                _put_in_place(database, pair)

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """One transaction. When the file turns out to be damaged, the same once more on a fresh one."""
        with self._mutex, _plain_words(self.path):
            try:
                with self._database:
                    return work(self._database)
            except sqlite3.DatabaseError as trouble:
                if not _is_damage(trouble):
                    raise
                self._database.close()
                self._database = self._begin_anew(trouble)
                with self._database:
                    return work(self._database)

    def _open_or_begin_anew(self) -> sqlite3.Connection:
        with _plain_words(self.path):
            try:
                return _connect(self.path)
            except sqlite3.DatabaseError as trouble:
                if not _is_damage(trouble):
                    raise
                return self._begin_anew(trouble)

    def _begin_anew(self, trouble: sqlite3.DatabaseError) -> sqlite3.Connection:
        aside = self.path.with_name(f"{self.path.name}.damaged")
        for ending in ("", "-wal", "-shm"):
            source = self.path.with_name(self.path.name + ending)
            aside.with_name(aside.name + ending).unlink(missing_ok=True)
            if source.exists():
                source.rename(aside.with_name(aside.name + ending))
        self.damage = f"the journal {self.path} was damaged ({trouble}) and begun anew; {_LOST}"
        log.error("%s; the damaged file is now %s", self.damage, aside)
        return _connect(self.path)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look from another process found of one model; None where nothing was written yet."""

    state: bytes | None = None
    entry: bytes | None = None


def peek(path: Path, model: str) -> Seen:
    """State and logbook of a model, for a look from another process while the device runs. Raises BadInput."""
    if not path.exists():
        return Seen()
    with _plain_words(path):
        database = sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True, timeout=_BUSY_WAIT_S)
        try:
            state = _first(database, "SELECT json FROM state WHERE model = ?", model)
            has_logbook = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'logbook'").fetchone()
            return Seen(state, _first(database, _NOTED, model) if has_logbook else None)
        finally:
            database.close()


def holder(path: Path) -> str:
    """The process that runs with this journal, as far as it says; empty when none does."""
    try:
        held = os.open(path.with_name(f"{path.name}.lock"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(held, 20).decode(errors="replace").strip() or "unknown"
    else:
        return ""
    finally:
        os.close(held)


class _plain_words:  # noqa: N801 - used as a `with` statement's verb, like contextlib's own
    """Turns the database's trouble into an error that a person can act upon."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, trouble: BaseException | None, _trace: object) -> None:
        if not isinstance(trouble, sqlite3.DatabaseError):
            return
        if _code(trouble) == sqlite3.SQLITE_FULL:
            raise NoRoom(
                f"the disk is full: the journal {self._path} cannot grow", hint="remove files from that disk"
            ) from None
        anew = "`device-client run` puts it aside and begins anew"
        hint = anew if _is_damage(trouble) else "check who owns its folder, and the disk"
        raise BadInput(f"the journal {self._path} cannot be used: {trouble}", hint=hint) from None


def _hold(path: Path) -> int:
    """Lock the file beside the database and write our process id into it; the descriptor holds the lock."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as refused:
        raise BadInput(
            f"the folder {path.parent} cannot be used: {refused.strerror}", hint="check who owns it"
        ) from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(held, 20).decode(errors="replace").strip() or "unknown"
        os.close(held)
        raise Busy(
            f"process {holder} already runs with the folder {path.parent}",
            hint=f"stop it first: kill {holder}" if holder.isdigit() else "stop it first",
        ) from None
    os.ftruncate(held, 0)
    os.pwrite(held, f"{os.getpid()}\n".encode(), 0)
    return held


def _connect(path: Path) -> sqlite3.Connection:
    """Open and look through the whole file. Raises sqlite3.DatabaseError, FerryError."""
    database = sqlite3.connect(path, timeout=_BUSY_WAIT_S, check_same_thread=False, isolation_level="IMMEDIATE")
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise _damage(found)
        _check_format(database, path)
        database.executescript(_SCHEMA)
    except BaseException:
        database.close()
        raise
    return database


def _check_format(database: sqlite3.Connection, path: Path) -> None:
    written = database.execute("PRAGMA user_version").fetchone()[0]
    if written > _FORMAT:
        raise FerryError(
            f"the journal {path} was written by a newer client (format {written})", hint="install that version again"
        )
    database.execute(f"PRAGMA user_version = {_FORMAT}")


def _first(database: sqlite3.Connection, query: str, argument: str) -> bytes | None:
    row = database.execute(query, (argument,)).fetchone()
    return None if row is None else bytes(row[0])


def _put_in_place(database: sqlite3.Connection, pair: Merged) -> None:
    entry = pair.entry
    database.execute("DELETE FROM outbox WHERE event_id = ?", (pair.newer_id,))
    database.execute(
        "UPDATE outbox SET event_id = ?, payload = ? WHERE event_id = ?", (entry.event_id, entry.payload, pair.older_id)
    )


def _add(database: sqlite3.Connection, counter: str, by: int) -> int:
    database.execute("INSERT OR IGNORE INTO counter VALUES (?, 0)", (counter,))
    database.execute("UPDATE counter SET value = value + ? WHERE name = ?", (by, counter))
    return int(database.execute("SELECT value FROM counter WHERE name = ?", (counter,)).fetchone()[0])


def _damage(found: str) -> sqlite3.DatabaseError:
    trouble = sqlite3.DatabaseError(found)
    trouble.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return trouble


def _is_damage(trouble: sqlite3.DatabaseError) -> bool:
    return _code(trouble) in _DAMAGED


def _code(trouble: sqlite3.DatabaseError) -> int:
    return getattr(trouble, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
