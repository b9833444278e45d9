"""What the fleet is told: one bundle per model, staged here first and marked once the broker has it.

A plan, its bundle and the metadata that signs it change in one transaction: a publisher killed at any point finds
either the old announcement or the new one, and `unannounced` says what is still to be sent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from protocol.errors import BadInput, UnknownVersion
from protocol.messages.plan import Plan
from protocol.topics import BUNDLE_MAX_BYTES
from publisher.adapters.registry.table import Table


@dataclass(frozen=True, slots=True)
class Staged:
    """A bundle that the broker does not have yet, as far as we know."""

    model: str
    sequence: int
    bundle: bytes


class Announcements(Table):
    """Plans, bundles, and the metadata of the authority."""

    def plan(self, model: str) -> Plan | None:
        """The plan of a model as it was staged last."""
        for (line,) in self._database.rows("SELECT plan FROM announcements WHERE model = ?", (model,)):
            return Plan.from_line(bytes(line), max_bytes=BUNDLE_MAX_BYTES)
        return None

    def bundle(self, model: str) -> bytes | None:
        """What stands, or will stand, on the model's topic."""
        for (bundle,) in self._database.rows("SELECT bundle FROM announcements WHERE model = ?", (model,)):
            return bytes(bundle)
        return None

    def bundles(self) -> dict[str, bytes]:
        """Every model's bundle."""
        return {model: bytes(line) for model, line in self._database.rows("SELECT model, bundle FROM announcements")}

    def metadata(self) -> dict[str, bytes]:
        """The authority's metadata by file name."""
        return {name: bytes(content) for name, content in self._database.rows("SELECT name, content FROM metadata")}

    def save_metadata(self, metadata: Mapping[str, bytes]) -> None:
        """Replace the authority's metadata where no bundle changes: when it is founded."""
        with self._database.transaction() as rows:
            _put_metadata(rows, metadata)

    def stage_bundle(self, model: str, plan: Plan, bundle: bytes, metadata: Mapping[str, bytes]) -> Staged:
        """Replace a model's plan and bundle and the metadata, in one transaction. Raises BadInput on an older plan."""
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
        """Replace bundles that carry the same plans with newer signatures, and the metadata, in one transaction."""
        with self._database.transaction() as rows:
            for model, bundle in bundles.items():
                done = rows.execute(
                    "UPDATE announcements SET bundle = ?, announced = 0 WHERE model = ?", (bundle, model)
                )
                if not done.rowcount:
                    raise UnknownVersion(f"nothing is announced for model {model!r} yet")
            _put_metadata(rows, metadata)

    def unannounced(self) -> list[Staged]:
        """What is still to be sent to the broker."""
        rows = self._database.rows(
            "SELECT model, sequence, bundle FROM announcements WHERE NOT announced ORDER BY model"
        )
        return [Staged(model, sequence, bytes(bundle)) for model, sequence, bundle in rows]

    def mark_announced(self, staged: Staged) -> None:
        """The broker has acknowledged this very bundle; one staged meanwhile stays to be sent."""
        with self._database.transaction() as rows:
            rows.execute(
                "UPDATE announcements SET announced = 1 WHERE model = ? AND bundle = ?", (staged.model, staged.bundle)
            )

    def mark_all_unannounced(self) -> None:
        """The broker has lost what it had, or is another one."""
        with self._database.transaction() as rows:
            rows.execute("UPDATE announcements SET announced = 0")


def _put_metadata(rows: sqlite3.Connection, metadata: Mapping[str, bytes]) -> None:
    rows.execute("DELETE FROM metadata")
    rows.executemany("INSERT INTO metadata VALUES (?, ?)", list(metadata.items()))
