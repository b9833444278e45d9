"""The file store of one model: partial downloads, whole files, the current one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from protocol.messages.manifest import Encoding, Tree


@dataclass(frozen=True, slots=True)
class Held:
    """How much of a tree is on disk, checked by hash."""

    missing: tuple[str, ...]  # chunks to fetch next; a list chunk comes before its leaves
    kept_chunks: int
    total_chunks: int


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

    def make_current(self, sha256: str) -> None:
        """Point the `current.tflite` symlink at a whole file, atomically."""

    def keep_only(self, sha256s: Collection[str]) -> None:
        """Remove every other whole file, and every partial that is not open."""

    def close_partial(self) -> None:
        """Close the open partial; its bytes stay on disk for a later attempt."""
