"""A partial download: a file of slices, a file of lists, and the missing chunks.

No bookkeeping on disk: opening the pair hashes what is there against the signed root.
One thread at a time. A place is a number: 0, 1 … are slices of the blob; -1 is the root
list, -2, -3 … are the lists that it names.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from pathlib import Path
from typing import Final

from device_client.adapters.storage.disk import check_room, full_disk_is_no_room, reserve
from device_client.ports.storage import Held
from protocol.content import chunks
from protocol.errors import BlobDamaged
from protocol.messages.manifest import CHUNK_BYTES, Tree

_ROOT_LIST: Final = -1
_BLOCK_BYTES: Final = 512  # the unit of st_blocks


class PartialFile:
    """An open pair of files. Memory: about 300 bytes for each chunk that is missing."""

    def __init__(self, part: Path, index: Path, tree: Tree, *, decoded_bytes: int = 0) -> None:
        """Reserve the space and hash what is there. Raises BlobDamaged, NoRoom."""
        chunks.check_shape(tree)
        self.tree = tree
        self.part = part
        self.index = index
        self._leaves = chunks.leaf_count(tree)
        self._nodes = -(-self._leaves // chunks.FANOUT) if tree.depth == 2 else 0  # lists under the root list
        self._lists = self._nodes + (1 if tree.depth else 0)
        self._missing: dict[str, int | list[int]] = {}
        self._places_known = 0
        self._places_missing = 0
        self._resumed = part.exists()
        self._descriptors: dict[Path, int] = {}
        try:
            self._reserve(decoded_bytes)
            self._visit(tree.root, _ROOT_LIST if tree.depth else 0)
        except BaseException:
            self.close()
            raise

    def keep(self, sha256: str, payload: bytes) -> bool:
        """Write a chunk to all its places. Raises ChunkDamaged, NoRoom, BlobDamaged."""
        found = self._missing.get(sha256)
        if found is None:
            return False
        chunks.check(sha256, payload)
        places = found if isinstance(found, list) else [found]
        if any(self._size(place) != len(payload) for place in places):
            raise BlobDamaged(f"the tree {self.tree.root[:12]} has a chunk of {len(payload)} bytes in the wrong place")
        for place in places:
            self._write(place, payload)
        del self._missing[sha256]
        self._places_missing -= len(places)
        for place in places:
            for child, below in self._children(place, payload):
                self._visit(child, below)
        return True

    def held(self) -> Held:
        """What is there and what is missing, lists before the slices that they name."""
        return Held(tuple(self._missing), self._places_known - self._places_missing, self._leaves + self._lists)

    def sync(self) -> None:
        with full_disk_is_no_room(self.part.parent, self.tree.size_bytes):
            os.fsync(self._descriptors[self.part])

    def close(self) -> None:
        """Close both files; they stay."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def discard(self) -> None:
        self.close()
        self.part.unlink(missing_ok=True)
        self.index.unlink(missing_ok=True)

    def _reserve(self, decoded_bytes: int) -> None:
        sizes = {self.part: self.tree.size_bytes}
        if self._lists:
            sizes[self.index] = sum(self._size(_ROOT_LIST - at) for at in range(self._lists))
        present = sum(path.stat().st_blocks * _BLOCK_BYTES for path in sizes if path.exists())
        wanted = max(0, sum(sizes.values()) - present) + decoded_bytes
        check_room(self.part.parent, wanted)
        with full_disk_is_no_room(self.part.parent, wanted):
            for path, size_bytes in sizes.items():
                self._descriptors[path] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
                reserve(self._descriptors[path], size_bytes)

    def _visit(self, sha256: str, place: int) -> None:
        """Check a chunk and, level by level, those below it; note the missing ones."""
        queue = deque([(sha256, place)])
        while queue:
            sha256, place = queue.popleft()
            self._places_known += 1
            payload = self._read(place) if self._resumed else b""
            if payload and chunks.name(payload) == sha256:
                queue.extend(self._children(place, payload))
            else:
                self._miss(sha256, place)

    def _miss(self, sha256: str, place: int) -> None:
        self._places_missing += 1
        others = self._missing.get(sha256)
        if others is None:
            self._missing[sha256] = place
        elif isinstance(others, list):
            others.append(place)
        else:
            self._missing[sha256] = [others, place]

    def _children(self, place: int, payload: bytes) -> list[tuple[str, int]]:
        """The chunks that a list names, each with its place; none for a slice."""
        if place >= 0:
            return []
        hashes = chunks.children(payload)
        if place == _ROOT_LIST and self._nodes:
            return [(sha256, _ROOT_LIST - 1 - at) for at, sha256 in enumerate(hashes)]
        first = 0 if place == _ROOT_LIST else (_ROOT_LIST - 1 - place) * chunks.FANOUT
        return [(sha256, first + at) for at, sha256 in enumerate(hashes)]

    def _location(self, place: int) -> tuple[int, int]:
        if place >= 0:
            return self._descriptors[self.part], place * CHUNK_BYTES
        above = self._nodes * chunks.HASH_BYTES  # the size of the root list, when there are lists under it
        offset = 0 if place == _ROOT_LIST else above + (_ROOT_LIST - 1 - place) * CHUNK_BYTES
        return self._descriptors[self.index], offset

    def _size(self, place: int) -> int:
        if place >= 0:
            return min(CHUNK_BYTES, self.tree.size_bytes - place * CHUNK_BYTES)
        if place == _ROOT_LIST:
            return (self._nodes or self._leaves) * chunks.HASH_BYTES
        before = (_ROOT_LIST - 1 - place) * chunks.FANOUT
        return min(chunks.FANOUT, self._leaves - before) * chunks.HASH_BYTES

    def _read(self, place: int) -> bytes:
        descriptor, offset = self._location(place)
        return os.pread(descriptor, self._size(place), offset)

    def _write(self, place: int, payload: bytes) -> None:
        descriptor, offset = self._location(place)
        with full_disk_is_no_room(self.part.parent, len(payload)):
            if os.pwrite(descriptor, payload, offset) != len(payload):
                raise OSError(errno.ENOSPC, "short write")
