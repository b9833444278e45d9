"""The Journal port in SQLite: state, trusted metadata, and unacknowledged reports.

One process at a time, any thread; `database` handles a damaged or unwritable file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from device_client.adapters.storage import folder_lock
from device_client.adapters.storage.database import JournalDatabase, foreign_reader
from device_client.core.outbox_entry import OutboxEntry
from device_client.reporting.window_merging import Merged, make_room

FEEDBACK_BUDGET_BYTES: Final = 262_144
ROOM_SHARE: Final = 0.25  # of the budget: freed at a time, so that not every report frees some
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
_STATE: Final = "SELECT json FROM state WHERE model = ?"
_DRIFT_STATES: Final = "SELECT json FROM standings WHERE model = ?"
_LOG_ENTRY: Final = "SELECT entry FROM logbook WHERE model = ?"
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


class Journal:
    def __init__(self, path: Path, *, feedback_budget_bytes: int = FEEDBACK_BUDGET_BYTES) -> None:
        """Raises Busy when another process has it, BadInput, NoRoom."""
        self.path = path
        self._feedback_budget_bytes = feedback_budget_bytes
        self._database = JournalDatabase(path, _SCHEMA, lost=_LOST)

    @property
    def damage(self) -> str:
        """What was lost, after a damaged file was replaced; else empty."""
        return self._database.damage

    def load(self, model: str) -> bytes | None:
        return self._database.read(lambda database: _first(database, _STATE, model))

    def save(
        self,
        model: str,
        state_json: bytes,
        outbox: Sequence[OutboxEntry] = (),
        trusted: Mapping[str, bytes] | None = None,
    ) -> None:
        def work(database: sqlite3.Connection) -> None:
            database.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (model, state_json))
            self._enqueue(database, outbox)
            if trusted is not None:
                database.execute("DELETE FROM trusted WHERE model = ?", (model,))
                rows = [(model, name, metadata) for name, metadata in trusted.items()]
                database.executemany("INSERT INTO trusted VALUES (?, ?, ?)", rows)

        self._database.write(work)

    def trusted(self, model: str) -> dict[str, bytes]:
        query = "SELECT name, metadata FROM trusted WHERE model = ? ORDER BY name"
        return dict(self._database.read(lambda database: database.execute(query, (model,)).fetchall()))

    def save_log_entry(self, model: str, entry: bytes) -> None:
        insert = "INSERT OR REPLACE INTO logbook VALUES (?, ?)"
        self._database.write(lambda database: database.execute(insert, (model, entry)))

    def load_log_entry(self, model: str) -> bytes | None:
        return self._database.read(lambda database: _first(database, _LOG_ENTRY, model))

    def enqueue(self, entries: Sequence[OutboxEntry], drift_states: Mapping[str, bytes] | None = None) -> None:
        def work(database: sqlite3.Connection) -> None:
            self._enqueue(database, entries)
            rows = list((drift_states or {}).items())
            database.executemany("INSERT OR REPLACE INTO standings VALUES (?, ?)", rows)

        self._database.write(work)

    def drift_states(self, model: str) -> bytes | None:
        """The drift detectors' state with the last feedback; None before the first."""
        return self._database.read(lambda database: _first(database, _DRIFT_STATES, model))

    def waiting(self) -> list[OutboxEntry]:
        query = "SELECT event_id, topic, payload, at_s, kind FROM outbox ORDER BY id"
        return [OutboxEntry(*row) for row in self._database.read(lambda database: database.execute(query).fetchall())]

    def mark_sent(self, event_ids: Collection[str]) -> frozenset[str]:
        def work(database: sqlite3.Connection) -> frozenset[str]:
            found = frozenset(row[0] for row in database.execute("SELECT event_id FROM outbox")).intersection(event_ids)
            database.executemany("INSERT OR IGNORE INTO sent VALUES (?)", [(event_id,) for event_id in sorted(found)])
            return found

        return self._database.write(work)

    def delivered(self, event_id: str) -> None:
        def work(database: sqlite3.Connection) -> None:
            database.execute("DELETE FROM outbox WHERE event_id = ?", (event_id,))
            database.execute("DELETE FROM sent WHERE event_id = ?", (event_id,))

        self._database.write(work)

    def next_session(self) -> int:
        """Count a start of the device; 1 at the first."""
        return self._database.write(lambda database: _add(database, "session", 1))

    def feedback_dropped(self) -> int:
        """Feedback windows ever dropped, because they could not be merged."""
        return self._database.write(lambda database: _add(database, "feedback_dropped", 0))

    def close(self) -> None:
        self._database.close()

    def _enqueue(self, database: sqlite3.Connection, entries: Sequence[OutboxEntry]) -> None:
        rows = [(entry.event_id, entry.topic, entry.payload, entry.at_s, entry.kind) for entry in entries]
        insert = "INSERT OR IGNORE INTO outbox (event_id, topic, payload, at_s, kind) VALUES (?, ?, ?, ?, ?)"
        database.executemany(insert, rows)
        if any(entry.kind == "feedback" for entry in entries):
            self._make_room(database)

    def _make_room(self, database: sqlite3.Connection) -> None:
        """Merge the oldest feedback to fit the budget; drop what cannot be merged."""
        budget_bytes = self._feedback_budget_bytes
        while (held_bytes := int(database.execute(_FEEDBACK_BYTES).fetchone()[0])) > budget_bytes:
            unsent = [OutboxEntry(*row) for row in database.execute(_UNSENT_FEEDBACK).fetchall()]
            pairs = make_room(unsent, held_bytes - round(budget_bytes * (1 - ROOM_SHARE)))
            if not pairs:
                dropped = database.execute(_DROP_OLDEST, (budget_bytes,)).rowcount
                database.execute("DELETE FROM sent WHERE event_id NOT IN (SELECT event_id FROM outbox)")
                _add(database, "feedback_dropped", dropped)
                return
            for pair in pairs:
                _replace(database, pair)


@dataclass(frozen=True, slots=True)
class StoredModel:
    """What another process reads of one model; None before the first write."""

    state: bytes | None = None
    log_entry: bytes | None = None


def read_stored(path: Path, model: str) -> StoredModel:
    """Read from another process, while the device may run. Raises BadInput, NoRoom."""
    if not path.exists():
        return StoredModel()
    with foreign_reader(path) as database:
        state = _first(database, _STATE, model)
        has_log = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'logbook'").fetchone()
        return StoredModel(state, _first(database, _LOG_ENTRY, model) if has_log else None)


def holder(path: Path) -> str:
    """The id of the process that has this journal open, or "unknown"; empty if none."""
    return folder_lock.holder(path.with_name(f"{path.name}.lock"))


def _first(database: sqlite3.Connection, query: str, argument: str) -> bytes | None:
    row = database.execute(query, (argument,)).fetchone()
    return None if row is None else bytes(row[0])


def _replace(database: sqlite3.Connection, pair: Merged) -> None:
    entry = pair.entry
    database.execute("DELETE FROM outbox WHERE event_id = ?", (pair.newer_id,))
    database.execute(
        "UPDATE outbox SET event_id = ?, payload = ? WHERE event_id = ?", (entry.event_id, entry.payload, pair.older_id)
    )


def _add(database: sqlite3.Connection, counter: str, by: int) -> int:
    database.execute("INSERT OR IGNORE INTO counter VALUES (?, 0)", (counter,))
    database.execute("UPDATE counter SET value = value + ? WHERE name = ?", (by, counter))
    return int(database.execute("SELECT value FROM counter WHERE name = ?", (counter,)).fetchone()[0])
