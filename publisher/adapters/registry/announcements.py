"""Plans and their signed bundles: one per model, staged here, then marked as announced.

A plan, its bundle and the metadata that signs it change in one transaction: after a
kill, either the old or the new announcement is stored.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from protocol.errors import BadInput, UnknownVersion
from protocol.messages.plan import Plan
from protocol.topics import BUNDLE_MAX_BYTES
from publisher.adapters.registry.database import RegistryDatabase


@dataclass(frozen=True, slots=True)
class Staged:
    """A stored bundle that the broker may not have yet."""

    model: str
    sequence: int
    bundle: bytes


@dataclass(frozen=True, slots=True)
class Announcements:
    _database: RegistryDatabase

    def plan(self, model: str) -> Plan | None:
        """The plan of a model that was staged last."""
        for (line,) in self._database.rows("SELECT plan FROM announcements WHERE model = ?", (model,)):
            return Plan.from_line(bytes(line), max_bytes=BUNDLE_MAX_BYTES)
        return None

    def bundle(self, model: str) -> bytes | None:
        """The bundle that is, or will be, retained on the model's topic."""
        for (bundle,) in self._database.rows("SELECT bundle FROM announcements WHERE model = ?", (model,)):
            return bytes(bundle)
        return None

    def bundles(self) -> dict[str, bytes]:
        return {model: bytes(line) for model, line in self._database.rows("SELECT model, bundle FROM announcements")}

    def metadata(self) -> dict[str, bytes]:
        return {name: bytes(content) for name, content in self._database.rows("SELECT name, content FROM metadata")}

    def save_metadata(self, metadata: Mapping[str, bytes]) -> None:
        """Store the authority's first metadata, when there is no bundle yet."""
        with self._database.transaction() as rows:
            _put_metadata(rows, metadata)

    def stage(self, model: str, plan: Plan, bundle: bytes, metadata: Mapping[str, bytes]) -> Staged:
        """Store a plan and its bundle. Raises BadInput if it is not newer."""
        with self._database.transaction() as rows:
            found = rows.execute("SELECT sequence FROM announcements WHERE model = ?", (model,)).fetchone()
            if found and plan.sequence <= found[0]:
                raise BadInput(f"plan {plan.sequence} of {model!r} does not come after plan {found[0]}")
            rows.execute(
                "INSERT OR REPLACE INTO announcements VALUES (?, ?, ?, ?, 0)",
                (model, plan.sequence, plan.to_line(), bundle),
            )
            _put_metadata(rows, metadata)
        return Staged(model, plan.sequence, bundle)

    def stage_renewed(self, bundles: Mapping[str, bytes], metadata: Mapping[str, bytes]) -> None:
        """Replace bundles by ones with the same plans and newer signatures."""
        with self._database.transaction() as rows:
            for model, bundle in bundles.items():
                done = rows.execute(
                    "UPDATE announcements SET bundle = ?, announced = 0 WHERE model = ?", (bundle, model)
                )
                if not done.rowcount:
                    raise UnknownVersion(f"nothing is announced for model {model!r} yet")
            _put_metadata(rows, metadata)

    def pending(self) -> list[Staged]:
        """Bundles that are not marked as announced, by model."""
        rows = self._database.rows(
            "SELECT model, sequence, bundle FROM announcements WHERE NOT announced ORDER BY model"
        )
        return [Staged(model, sequence, bytes(bundle)) for model, sequence, bundle in rows]

    def mark_announced(self, staged: Staged) -> None:
        """Record that the broker has this bundle; one staged since stays pending."""
        with self._database.transaction() as rows:
            rows.execute(
                "UPDATE announcements SET announced = 1 WHERE model = ? AND bundle = ?", (staged.model, staged.bundle)
            )


def _put_metadata(rows: sqlite3.Connection, metadata: Mapping[str, bytes]) -> None:
    rows.execute("DELETE FROM metadata")
    rows.executemany("INSERT INTO metadata VALUES (?, ?)", list(metadata.items()))
