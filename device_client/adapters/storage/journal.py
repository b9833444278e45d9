"""What a device must not forget at a power cut: state, trusted metadata, and reports not yet acknowledged, in SQLite.

One process at a time, any thread. Owns the tables; what becomes of a file that is damaged or cannot be written is
`database`'s, for a device may forget, it may not brick. Knows nothing of what the bytes mean; `merging` tells which
reports may become one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from device_client.adapters.storage import folder_lock
from device_client.adapters.storage.database import Database, foreign_reader
from device_client.core.outbox_entry import OutboxEntry
from device_client.reporting.window_merging import Merged, make_room

FEEDBACK_BUDGET_BYTES: Final = 262_144
ROOM_SHARE: Final = 0.25  # of the budget that is freed at a time, so that it need not be done at each report
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


class Journal:
    """The database of one device. Every method that writes has reached the disk when it returns."""

    def __init__(self, path: Path, *, feedback_budget_bytes: int = FEEDBACK_BUDGET_BYTES) -> None:
        """Raises Busy when another process holds it, BadInput when the folder cannot be used, NoRoom."""
        self._feedback_budget_bytes = feedback_budget_bytes
        self._database = Database(path, _SCHEMA, lost=_LOST)

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._database.path

    @property
    def damage(self) -> str:
        """What was lost, when the database had to be begun anew; empty otherwise."""
        return self._database.damage

    def load(self, model: str) -> bytes | None:
        """What `save` was last given for the model; None when there is nothing."""
        return self._database.read(lambda database: _first(database, "SELECT json FROM state WHERE model = ?", model))

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

        self._database.write(work)

    def trusted(self, model: str) -> dict[str, bytes]:
        """The metadata that was last accepted, by name."""
        query = "SELECT name, metadata FROM trusted WHERE model = ? ORDER BY name"
        return dict(self._database.read(lambda database: database.execute(query, (model,)).fetchall()))

    def save_log_entry(self, model: str, entry: bytes) -> None:
        """Keep this entry of the model's logbook instead of the one before."""
        self._database.write(
            lambda database: database.execute("INSERT OR REPLACE INTO logbook VALUES (?, ?)", (model, entry))
        )

    def load_log_entry(self, model: str) -> bytes | None:
        """What `note` was last given for the model."""
        return self._database.read(lambda database: _first(database, _NOTED, model))

    def enqueue(self, entries: Sequence[OutboxEntry], drift_states: Mapping[str, bytes] | None = None) -> None:
        """Put reports in the outbox without a new state. One that is there already, by `event_id`, is not put twice.

        `drift_states`: by model, where its drift detectors stood by then; what is said of other models stays.
        """

        def work(database: sqlite3.Connection) -> None:
            self._enqueue(database, entries)
            rows = list((drift_states or {}).items())
            database.executemany("INSERT OR REPLACE INTO standings VALUES (?, ?)", rows)

        self._database.write(work)

    def drift_states(self, model: str) -> bytes | None:
        """Where the drift detectors of a model stood when feedback was last put here; None when they never did."""
        return self._database.read(
            lambda database: _first(database, "SELECT json FROM standings WHERE model = ?", model)
        )

    def waiting(self) -> list[OutboxEntry]:
        """The reports that no broker has acknowledged, oldest first."""
        query = "SELECT event_id, topic, payload, at_s, kind FROM outbox ORDER BY id"
        return [OutboxEntry(*row) for row in self._database.read(lambda database: database.execute(query).fetchall())]

    def mark_sent(self, event_ids: Collection[str]) -> frozenset[str]:
        """Which of these reports are still waiting. From now on somebody may have seen them: they are never merged."""

        def work(database: sqlite3.Connection) -> frozenset[str]:
            there = frozenset(row[0] for row in database.execute("SELECT event_id FROM outbox")).intersection(event_ids)
            database.executemany("INSERT OR IGNORE INTO sent VALUES (?)", [(event_id,) for event_id in sorted(there)])
            return there

        return self._database.write(work)

    def delivered(self, event_id: str) -> None:
        """The broker has it."""

        def work(database: sqlite3.Connection) -> None:
            database.execute("DELETE FROM outbox WHERE event_id = ?", (event_id,))
            database.execute("DELETE FROM sent WHERE event_id = ?", (event_id,))

        self._database.write(work)

    def next_session(self) -> int:
        """1 at the first start, and one more at each."""
        return self._database.write(lambda database: _add(database, "session", 1))

    def feedback_dropped(self) -> int:
        """How many feedback windows were lost, ever, for they could not be merged."""
        return self._database.write(lambda database: _add(database, "feedback_dropped", 0))

    def close(self) -> None:
        """Let another process have it."""
        self._database.close()

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


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look from another process found of one model; None where nothing was written yet."""

    state: bytes | None = None
    entry: bytes | None = None


def peek(path: Path, model: str) -> Seen:
    """State and logbook of a model, for a look from another process while the device runs. Raises BadInput."""
    if not path.exists():
        return Seen()
    with foreign_reader(path) as database:
        state = _first(database, "SELECT json FROM state WHERE model = ?", model)
        has_logbook = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'logbook'").fetchone()
        return Seen(state, _first(database, _NOTED, model) if has_logbook else None)


def holder(path: Path) -> str:
    """The process that runs with this journal, as far as it says; empty when none does."""
    return folder_lock.holder(path.with_name(f"{path.name}.lock"))


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
