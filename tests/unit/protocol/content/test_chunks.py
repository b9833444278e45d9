"""A blob's chunks restore it, and an impossible tree is refused by its shape."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from protocol.content.chunks import FANOUT, HASH_BYTES, ChunkedBlob, check, check_shape, children, cut, leaf_count, name
from protocol.errors import BadInput, BlobDamaged, ChunkDamaged
from protocol.messages.manifest import BLOB_MAX_BYTES, CHUNK_BYTES, TREE_MAX_DEPTH, Tree
from protocol.topics import CHUNK_MAX_BYTES
from tests.builders import a_hash

DEPTH_1_BYTES = FANOUT * CHUNK_BYTES  # the most that one list of hashes reaches


def a_file(path: Path, size_bytes: int) -> Path:
    """A sparse file with a few bytes of its own at both ends."""
    with path.open("wb") as file:
        file.truncate(size_bytes)
        file.write(b"begin"[:size_bytes])
        file.seek(max(0, size_bytes - 3))
        file.write(b"end"[: min(3, size_bytes)])
    return path


def leaves_by_walking(pieces: ChunkedBlob) -> list[str]:
    """The slices as a device finds them, from the root through the lists of hashes."""
    level = [pieces.tree.root]
    for _ in range(pieces.tree.depth):
        level = [child for sha256 in level for child in children(pieces.nodes[sha256])]
    return level


@pytest.mark.parametrize(
    ("size_bytes", "depth", "lists"),
    [
        (1, 0, 0),
        (CHUNK_BYTES - 1, 0, 0),
        (CHUNK_BYTES, 0, 0),
        (CHUNK_BYTES + 1, 1, 1),
        pytest.param(DEPTH_1_BYTES - 1, 1, 1, marks=pytest.mark.heavy),
        pytest.param(DEPTH_1_BYTES, 1, 1, marks=pytest.mark.heavy),
        pytest.param(DEPTH_1_BYTES + 1, 2, 3, marks=pytest.mark.heavy),
    ],
)
def test_a_file_is_cut_as_deep_as_it_must_be(tmp_path: Path, size_bytes: int, depth: int, lists: int) -> None:
    path = a_file(tmp_path / "blob", size_bytes)
    pieces = cut(path)
    assert (pieces.tree.depth, pieces.tree.size_bytes, len(pieces.nodes)) == (depth, size_bytes, lists)
    assert leaves_by_walking(pieces) == [leaf.sha256 for leaf in pieces.leaves]
    assert len(pieces.leaves) == leaf_count(pieces.tree)
    check_shape(pieces.tree)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for leaf in pieces.leaves:
            assert leaf.offset == file.tell()
            payload = file.read(leaf.size_bytes)
            check(leaf.sha256, payload)
            digest.update(payload)
        assert file.read() == b""
    assert digest.hexdigest() == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.heavy
def test_every_chunk_fits_below_the_limit_of_a_broker(tmp_path: Path) -> None:
    pieces = cut(a_file(tmp_path / "blob", DEPTH_1_BYTES + 1))
    assert max(leaf.size_bytes for leaf in pieces.leaves) <= CHUNK_BYTES < CHUNK_MAX_BYTES
    assert max(len(node) for node in pieces.nodes.values()) <= CHUNK_BYTES


def test_lists_of_hashes_are_named_by_their_bytes(tmp_path: Path) -> None:
    pieces = cut(a_file(tmp_path / "blob", 3 * CHUNK_BYTES))
    for sha256, content in pieces.nodes.items():
        check(sha256, content)


def test_the_same_bytes_are_cut_the_same_way_twice(tmp_path: Path) -> None:
    first = cut(a_file(tmp_path / "a", 200_000))
    assert cut(a_file(tmp_path / "b", 200_000)) == first


def test_an_empty_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty.tflite").write_bytes(b"")
    with pytest.raises(BadInput, match=r"empty\.tflite\b.*\b0\b"):
        cut(tmp_path / "empty.tflite")


def test_a_file_beyond_the_limit_is_refused_without_reading_it(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(BLOB_MAX_BYTES + 1)
    with pytest.raises(BadInput, match=r"huge .*2,000,000,001"):
        cut(tmp_path / "huge")


def test_a_chunk_that_lies_is_refused_and_remembers_what_was_asked_for() -> None:
    with pytest.raises(ChunkDamaged) as refusal:
        check(name(b"honest"), b"lie")
    assert refusal.value.expected_sha256 == name(b"honest")
    assert name(b"lie")[:12] in str(refusal.value)


@pytest.mark.parametrize("size_bytes", [0, 1, HASH_BYTES - 1, HASH_BYTES + 1, CHUNK_BYTES + HASH_BYTES])
def test_a_list_of_an_impossible_length_is_refused(size_bytes: int) -> None:
    with pytest.raises(BlobDamaged, match=rf"\b{size_bytes}\b"):
        children(b"x" * size_bytes)


@pytest.mark.parametrize(
    ("size_bytes", "depth"),
    [
        (0, 0),
        (CHUNK_BYTES, 1),
        (CHUNK_BYTES + 1, 0),
        (CHUNK_BYTES + 1, 2),
        (DEPTH_1_BYTES, 2),
        (DEPTH_1_BYTES + 1, 1),
        (BLOB_MAX_BYTES, 1),
    ],
)
def test_a_signed_depth_that_does_not_fit_the_size_is_refused(size_bytes: int, depth: int) -> None:
    with pytest.raises(BlobDamaged, match=rf"\b{depth}\b.*\b{size_bytes:,}\b"):
        check_shape(Tree(root=a_hash(), depth=depth, size_bytes=size_bytes))


def test_the_largest_blob_fits_the_deepest_tree() -> None:
    check_shape(Tree(root=a_hash(), depth=TREE_MAX_DEPTH, size_bytes=BLOB_MAX_BYTES))
