"""The file store of one model: partial downloads, whole files, the current one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from device_client.core.state import Installed
from protocol.messages.manifest import LABELS_FILE, MODEL_FILE, Encoding, Tree


@dataclass(frozen=True, slots=True)
class Held:
    """How much of a tree is on disk, checked by hash."""

    missing: tuple[str, ...]  # chunks to fetch next; a list chunk comes before its leaves
    kept_chunks: int
    total_chunks: int


@dataclass(frozen=True, slots=True)
class VersionFolder:
    """What an application finds in the folder of an installed version.

    `name` is another for other content. `links` are the SHA-256 of whole files by name;
    `labels`, if any, are written as a file.
    """

    name: str
    links: Mapping[str, str]
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, installed: Installed) -> Self:
        manifest, variant = installed.manifest, installed.variant
        links = {MODEL_FILE: variant.sha256} | {file.name: file.sha256 for file in manifest.files}
        if manifest.labels_file is not None:
            links[LABELS_FILE] = links[manifest.labels_file]
        content = json.dumps([sorted(links.items()), manifest.labels]).encode()
        name = f"{manifest.version}-{variant.name}-{hashlib.sha256(content).hexdigest()[:12]}"
        return cls(name, links, manifest.labels)

    @property
    def names(self) -> tuple[str, ...]:
        written = (LABELS_FILE,) if self.labels and LABELS_FILE not in self.links else ()
        return (*self.links, *written)


class Store(Protocol):
    """The files of one model on one device."""

    def open_partial(self, tree: Tree, *, decoded_bytes: int = 0) -> Held:
        """Rehash what is on disk of a tree and return what is missing.

        Reserves disk space first, and `decoded_bytes` beside the partial for `finish`
        (0 when the encoding is raw). Raises NoRoom, BlobDamaged.
        """

    def keep(self, sha256: str, payload: bytes) -> bool:
        """Write a chunk to the partial; False when it is there or not of the tree.

        Raises ChunkDamaged, NoRoom, or BlobDamaged when the signed tree is malformed.
        """

    def held(self) -> Held:
        """What the open partial is still missing, without reading it again."""

    def finish(self, encoding: Encoding, sha256: str, size_bytes: int) -> None:
        """Decode the partial durably. Raises NoRoom, or BlobDamaged and deletes it."""

    def has(self, sha256: str) -> bool:
        """Whether the whole file exists and its bytes, read again, have this hash."""

    def path(self, sha256: str) -> Path:
        """Where the whole file is or would be."""

    def make_folder(self, version: VersionFolder) -> Path:
        """The folder of a version whose files are whole, made if need be."""

    def make_current(self, version: VersionFolder) -> None:
        """Let the `current` links lead to a version's files, all at once."""

    def keep_only(self, sha256s: Collection[str]) -> None:
        """Remove every other whole file, and every partial that is not open.

        Files of a version folder that a reader holds stay.
        """

    def close_partial(self) -> None:
        """Close the open partial; its bytes stay on disk for a later attempt."""
