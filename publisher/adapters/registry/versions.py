"""Released versions: manifest and lineage. A stored version never changes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from protocol.errors import UnknownVersion, VersionOccupied
from protocol.messages.manifest import Manifest
from protocol.topics import BUNDLE_MAX_BYTES, SHA256
from publisher.adapters.registry.chunk_index import ChunkIndex
from publisher.adapters.registry.database import RegistryDatabase


@dataclass(frozen=True, slots=True)
class Versions:
    _database: RegistryDatabase

    def add(self, manifest: Manifest, lineage: Mapping[str, Any], now: datetime) -> None:
        """Keeps the blobs named in `lineage` with it. Raises VersionOccupied."""
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
        """The manifest of a version. Raises UnknownVersion, with the known ones."""
        query = "SELECT manifest FROM versions WHERE model = ? AND version = ?"
        for (line,) in self._database.rows(query, (model, version)):
            return Manifest.from_line(bytes(line), max_bytes=BUNDLE_MAX_BYTES)
        raise self._unknown(model, version)

    def lineage(self, model: str, version: str) -> dict[str, Any]:
        """How a version was made. Raises UnknownVersion."""
        query = "SELECT lineage FROM versions WHERE model = ? AND version = ?"
        for (text,) in self._database.rows(query, (model, version)):
            return dict(json.loads(text))
        raise self._unknown(model, version)

    def of_model(self, model: str) -> list[str]:
        """The versions of a model, newest last; empty for an unknown model."""
        query = "SELECT version FROM versions WHERE model = ? ORDER BY number"
        return [version for (version,) in self._database.rows(query, (model,))]

    def models(self) -> list[str]:
        return [model for (model,) in self._database.rows("SELECT DISTINCT model FROM versions ORDER BY model")]

    def remove(self, model: str, version: str) -> None:
        """Remove a version; its blobs become orphans. Raises UnknownVersion."""
        with self._database.transaction() as rows:
            gone = rows.execute("DELETE FROM versions WHERE model = ? AND version = ?", (model, version))
            if not gone.rowcount:
                raise self._unknown(model, version)

    def needed_blobs(self, chunks: ChunkIndex) -> set[str]:
        needed: set[str] = set()
        for line, lineage in self._database.rows("SELECT manifest, lineage FROM versions"):
            manifest = Manifest.from_line(bytes(line), max_bytes=BUNDLE_MAX_BYTES)
            needed.add(manifest.golden.sha256)
            needed |= {variant.sha256 for variant in manifest.variants} | {file.sha256 for file in manifest.files}
            needed |= {blob for tree in manifest.trees() for blob in chunks.blobs_of(tree)}
            needed |= set(_hashes(json.loads(lineage)))
        return needed

    def _unknown(self, model: str, version: str) -> UnknownVersion:
        known = self.of_model(model)
        if known:
            return UnknownVersion(f"{model} has no version {version}", hint=f"there are: {', '.join(known[-10:])}")
        models = ", ".join(self.models()) or "none yet"
        return UnknownVersion(f"the registry holds no model {model!r}", hint=f"there are: {models}")


def _hashes(value: Any) -> Iterator[str]:
    if isinstance(value, str) and SHA256.fullmatch(value):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _hashes(part)
    elif isinstance(value, list):
        for part in value:
            yield from _hashes(part)
