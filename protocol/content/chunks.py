"""Splits a blob into a tree of chunks, each named by its hash.

The list of a blob's hashes is a chunk itself, and so is a list of lists; only the root
hash is signed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.errors import BadInput, BlobDamaged, ChunkDamaged
from protocol.messages.manifest import BLOB_MAX_BYTES, CHUNK_BYTES, TREE_MAX_DEPTH, Tree

HASH_BYTES: Final = 32
FANOUT: Final = CHUNK_BYTES // HASH_BYTES  # 1,920


@dataclass(frozen=True, slots=True)
class Leaf:
    sha256: str
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ChunkedBlob:
    """A blob in chunks: the tree to sign, the slices, and list chunks by hash."""

    tree: Tree
    leaves: tuple[Leaf, ...]
    nodes: dict[str, bytes]


def cut(path: Path) -> ChunkedBlob:
    """Split the file at `path`, with one chunk in memory at a time.

    Raises BadInput when the file is empty, too large for a blob, or changes meanwhile.
    """
    size_bytes = path.stat().st_size
    if not 0 < size_bytes <= BLOB_MAX_BYTES:
        raise BadInput(f"{path.name} has {size_bytes:,} bytes; a blob has 1 to {BLOB_MAX_BYTES:,}")
    leaves = tuple(_slices(path))
    if sum(leaf.size_bytes for leaf in leaves) != size_bytes:
        raise BadInput(f"{path.name} changed while it was read", hint="run the command again when it is written")
    nodes: dict[str, bytes] = {}
    level, depth = [leaf.sha256 for leaf in leaves], 0
    while len(level) > 1:
        level = [_add(nodes, level[at : at + FANOUT]) for at in range(0, len(level), FANOUT)]
        depth += 1
    return ChunkedBlob(Tree(root=level[0], depth=depth, size_bytes=size_bytes), leaves, nodes)


def name(payload: bytes) -> str:
    """The SHA-256 of the chunk's bytes in lower-case hex."""
    return hashlib.sha256(payload).hexdigest()


def check(sha256: str, payload: bytes) -> None:
    """Raise ChunkDamaged unless `payload` is the chunk that `sha256` names."""
    got = name(payload)
    if got != sha256:
        raise ChunkDamaged(sha256, got)


def children(node: bytes) -> tuple[str, ...]:
    """The hashes in a list chunk. Raises BlobDamaged for an invalid length."""
    if not node or len(node) % HASH_BYTES or len(node) > CHUNK_BYTES:
        raise BlobDamaged(f"a list of chunks has {len(node)} bytes")
    return tuple(node[at : at + HASH_BYTES].hex() for at in range(0, len(node), HASH_BYTES))


def leaf_count(tree: Tree) -> int:
    return -(-tree.size_bytes // CHUNK_BYTES)


def check_shape(tree: Tree) -> None:
    """Raise BlobDamaged if the signed depth does not match the signed size."""
    count, depth = leaf_count(tree), 0
    while count > 1:
        count, depth = -(-count // FANOUT), depth + 1
    if depth != tree.depth or depth > TREE_MAX_DEPTH or tree.size_bytes == 0:
        raise BlobDamaged(f"a tree of depth {tree.depth} cannot hold {tree.size_bytes:,} bytes")


def _slices(path: Path) -> Iterator[Leaf]:
    offset = 0
    with path.open("rb") as blob:
        while payload := blob.read(CHUNK_BYTES):
            yield Leaf(name(payload), offset, len(payload))
            offset += len(payload)


def _add(nodes: dict[str, bytes], level: list[str]) -> str:
    node = bytes.fromhex("".join(level))
    sha256 = name(node)
    nodes[sha256] = node
    return sha256
