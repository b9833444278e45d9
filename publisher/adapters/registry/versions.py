"""Released versions: manifest and lineage. A version never changes once it is here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from protocol.errors import UnknownVersion, VersionOccupied
from protocol.messages.manifest import Manifest
from protocol.topics import BUNDLE_MAX_BYTES, SHA256
from publisher.adapters.registry.chunk_index import ChunkIndex


class Versions(ChunkIndex):
    """What was released, and where it came from."""

    def add_version(self, manifest: Manifest, lineage: Mapping[str, Any], now: datetime) -> None:
        """Keep a version. `lineage`: recipe, data, parents, seeds, as JSON; blobs it names by hash are kept with it.

        Raises VersionOccupied when there is another of this number; the very same manifest again is nothing new.
        """
        with self._database.transaction() as rows:
            found = rows.execute(
                "SELECT manifest FROM versions WHERE model = ? AND version = ?", (manifest.model, manifest.version)
            ).fetchone()
            if found and bytes(found[0]) != manifest.to_line():
                raise VersionOccupied(
                    f"{manifest.model} {manifest.version} is released already, and a version never changes",
                    hint="choose the next number",
                )
            rows.execute(
                "INSERT OR IGNORE INTO versions SELECT ?, ?, ?, ?, ?, coalesce(max(number), 0) + 1 FROM versions",
                (manifest.model, manifest.version, manifest.to_line(), json.dumps(lineage), now.isoformat()),
            )

    def manifest(self, model: str, version: str) -> Manifest:
        """The manifest of a version. Raises UnknownVersion, which names the ones there are."""
        query = "SELECT manifest FROM versions WHERE model = ? AND version = ?"
        for (line,) in self._database.rows(query, (model, version)):
            return Manifest.from_line(bytes(line), max_bytes=BUNDLE_MAX_BYTES)
        raise self._unknown(model, version)

    def lineage(self, model: str, version: str) -> dict[str, Any]:
        """Where a version came from. Raises UnknownVersion."""
        query = "SELECT lineage FROM versions WHERE model = ? AND version = ?"
        for (text,) in self._database.rows(query, (model, version)):
            return dict(json.loads(text))
        raise self._unknown(model, version)

    def versions(self, model: str) -> list[str]:
        """The versions of a model, the newest last; none when the model is unknown."""
        return [
            v for (v,) in self._database.rows("SELECT version FROM versions WHERE model = ? ORDER BY number", (model,))
        ]

    def models(self) -> list[str]:
        """Every model of which something was released."""
        return [model for (model,) in self._database.rows("SELECT DISTINCT model FROM versions ORDER BY model")]

    def forget_version(self, model: str, version: str) -> None:
        """Remove a version; its blobs become orphans. Raises UnknownVersion."""
        with self._database.transaction() as rows:
            gone = rows.execute("DELETE FROM versions WHERE model = ? AND version = ?", (model, version))
            if not gone.rowcount:
                raise self._unknown(model, version)

    def orphans(self) -> list[str]:
        """Blobs that no version needs, by hash: what a killed or refused release left. Call it under the lock."""
        needed: set[str] = set()
        for line, lineage in self._database.rows("SELECT manifest, lineage FROM versions"):
            manifest = Manifest.from_line(bytes(line), max_bytes=BUNDLE_MAX_BYTES)
            needed |= {manifest.golden.sha256, *(variant.sha256 for variant in manifest.variants)}
            needed |= {blob for tree in manifest.trees() for blob in self.blobs_of(tree)}
            needed |= set(_hashes(json.loads(lineage)))
        return [sha256 for sha256 in self.blob_names() if sha256 not in needed]

    def _unknown(self, model: str, version: str) -> UnknownVersion:
        known = self.versions(model)
        if known:
            return UnknownVersion(f"{model} has no version {version}", hint=f"there are: {', '.join(known[-10:])}")
        models = ", ".join(self.models()) or "none yet"
        return UnknownVersion(f"the registry holds no model {model!r}", hint=f"there are: {models}")


def _hashes(value: Any) -> Iterator[str]:
    """Every SHA-256 that stands somewhere in a JSON value."""
    if isinstance(value, str) and SHA256.fullmatch(value):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _hashes(part)
    elif isinstance(value, list):
        for part in value:
            yield from _hashes(part)
