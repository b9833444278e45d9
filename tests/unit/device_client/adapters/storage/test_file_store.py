"""The store: whole files by hash, durable partial files, a link that never dangles."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_client.adapters.storage.file_store import FileStore
from device_client.ports.storage import VersionFolder
from protocol.content import chunks
from protocol.content.chunks import ChunkedBlob
from protocol.content.encodings import RAW, ZSTD, encode_zstd
from protocol.errors import BlobDamaged, ChunkDamaged, NoRoom
from protocol.messages.manifest import CHUNK_BYTES, Encoding, Tree


class Blob:
    """A file at the publisher's, cut, and its chunks by hash."""

    def __init__(self, folder: Path, payload: bytes, kind: str = RAW) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.sha256 = chunks.name(payload)
        self.size_bytes = len(payload)
        plain, packed = folder / self.sha256, folder / f"{self.sha256}.{kind}"
        plain.write_bytes(payload)
        if kind == ZSTD:
            assert encode_zstd(plain, packed)
        else:
            shutil.copy(plain, packed)
        self.packed = packed
        self.cut: ChunkedBlob = chunks.cut(packed)
        self.encoding = Encoding(kind=kind, tree=self.cut.tree)
        self._leaves = {leaf.sha256: leaf for leaf in self.cut.leaves}

    def chunk(self, sha256: str) -> bytes:
        """What the broker would send."""
        if sha256 in self.cut.nodes:
            return self.cut.nodes[sha256]
        leaf = self._leaves[sha256]
        with self.packed.open("rb") as packed:
            packed.seek(leaf.offset)
            return packed.read(leaf.size_bytes)


def random_bytes(size_bytes: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size_bytes)


def fetch(store: FileStore, blob: Blob, at_most: int = 10**9) -> int:
    """Give the open partial what it misses; how many chunks it took."""
    given = 0
    while (missing := store.held().missing) and given < at_most:
        for sha256 in missing[: at_most - given]:
            assert store.keep(sha256, blob.chunk(sha256))
            given += 1
    return given


def take(store: FileStore, blob: Blob) -> None:
    store.open_partial(blob.cut.tree)
    fetch(store, blob)
    store.finish(blob.encoding, blob.sha256, blob.size_bytes)


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "device")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "publisher"


@pytest.mark.parametrize("size_bytes", [1, CHUNK_BYTES, CHUNK_BYTES + 1, 10 * CHUNK_BYTES + 77])
def test_a_blob_arrives_as_it_was_sent(store: FileStore, source: Path, size_bytes: int) -> None:
    blob = Blob(source, random_bytes(size_bytes))
    take(store, blob)
    assert store.path(blob.sha256).read_bytes() == random_bytes(size_bytes)
    assert store.has(blob.sha256)
    assert list((store.folder / "partial").iterdir()) == []


def test_a_packed_blob_is_unpacked_and_the_partial_is_gone(store: FileStore, source: Path) -> None:
    blob = Blob(source, b"weights " * 50_000 + random_bytes(300_000), ZSTD)
    take(store, blob)
    assert store.has(blob.sha256)
    assert list((store.folder / "partial").iterdir()) == []


def test_a_raw_blob_never_lies_on_the_disk_twice(store: FileStore, source: Path) -> None:
    blob = Blob(source, random_bytes(5 * CHUNK_BYTES))
    store.open_partial(blob.cut.tree)
    fetch(store, blob)
    node = (store.folder / "partial" / f"{blob.cut.tree.root}.part").stat().st_ino
    store.finish(blob.encoding, blob.sha256, blob.size_bytes)
    assert store.path(blob.sha256).stat().st_ino == node


def test_the_root_is_asked_first_then_the_slices(store: FileStore, source: Path) -> None:
    blob = Blob(source, random_bytes(3 * CHUNK_BYTES))
    held = store.open_partial(blob.cut.tree)
    assert (held.missing, held.kept_chunks, held.total_chunks) == ((blob.cut.tree.root,), 0, 4)
    store.keep(blob.cut.tree.root, blob.chunk(blob.cut.tree.root))
    assert store.held().missing == tuple(leaf.sha256 for leaf in blob.cut.leaves)
    assert store.held().kept_chunks == 1


def test_a_chunk_that_lies_is_refused_and_still_missing(store: FileStore, source: Path) -> None:
    blob = Blob(source, random_bytes(3 * CHUNK_BYTES))
    held = store.open_partial(blob.cut.tree)
    with pytest.raises(ChunkDamaged):
        store.keep(held.missing[0], b"something else")
    assert store.held() == held


def test_a_chunk_that_came_twice_or_belongs_elsewhere_changes_nothing(store: FileStore, source: Path) -> None:
    blob = Blob(source, random_bytes(3 * CHUNK_BYTES))
    store.open_partial(blob.cut.tree)
    root = blob.cut.tree.root
    assert store.keep(root, blob.chunk(root)) is True
    held = store.held()
    assert store.keep(root, blob.chunk(root)) is False
    assert store.keep(chunks.name(b"stray"), b"stray") is False
    assert store.held() == held


def test_a_chunk_that_occurs_often_is_fetched_once_and_written_everywhere(store: FileStore, source: Path) -> None:
    blob = Blob(source, bytes(CHUNK_BYTES) * 6 + b"x" * CHUNK_BYTES + bytes(CHUNK_BYTES) * 2 + b"end")
    store.open_partial(blob.cut.tree)
    assert fetch(store, blob) == 4  # the list, zeros, x, end
    assert store.held().kept_chunks == store.held().total_chunks == 11
    store.finish(blob.encoding, blob.sha256, blob.size_bytes)
    assert store.has(blob.sha256)


def test_a_transfer_that_was_cut_goes_on_where_it_was(store: FileStore, source: Path) -> None:
    blob = Blob(source, random_bytes(10 * CHUNK_BYTES))
    store.open_partial(blob.cut.tree)
    fetch(store, blob, at_most=5)
    reopened = FileStore(store.folder)
    held = reopened.open_partial(blob.cut.tree)
    assert (held.kept_chunks, len(held.missing)) == (5, 6)
    assert fetch(reopened, blob) == 6
    reopened.finish(blob.encoding, blob.sha256, blob.size_bytes)
    assert reopened.has(blob.sha256)


def test_what_rotted_while_the_power_was_off_is_fetched_again(store: FileStore, source: Path) -> None:
    blob = Blob(source, random_bytes(10 * CHUNK_BYTES))
    store.open_partial(blob.cut.tree)
    fetch(store, blob)
    store.close_partial()
    part = store.folder / "partial" / f"{blob.cut.tree.root}.part"
    with part.open("r+b") as damaged:
        damaged.seek(3 * CHUNK_BYTES + 5)
        damaged.write(b"rot")
    assert store.open_partial(blob.cut.tree).missing == (blob.cut.leaves[3].sha256,)
    fetch(store, blob)
    store.finish(blob.encoding, blob.sha256, blob.size_bytes)
    assert store.has(blob.sha256)


@pytest.mark.parametrize("lost", ["part", "index"])
def test_either_file_of_a_partial_may_be_lost_or_nonsense(store: FileStore, source: Path, lost: str) -> None:
    blob = Blob(source, random_bytes(10 * CHUNK_BYTES))
    path = store.folder / "partial" / f"{blob.cut.tree.root}.{lost}"
    for spoil in (lambda: path.unlink(), lambda: path.write_bytes(b"nonsense" * 100_000), lambda: os.truncate(path, 3)):
        store.open_partial(blob.cut.tree)
        fetch(store, blob, at_most=7)
        store.close_partial()
        spoil()
        take(store, blob)
        assert store.has(blob.sha256)


@pytest.mark.heavy
def test_lists_of_lists_are_walked_too(store: FileStore, source: Path) -> None:
    slices = chunks.FANOUT + 5  # one more list than a root can name directly
    payload = b"".join((index.to_bytes(4, "big") + bytes(CHUNK_BYTES - 4)) for index in range(slices))
    blob = Blob(source, payload, RAW)
    assert blob.cut.tree.depth == 2
    store.open_partial(blob.cut.tree)
    fetch(store, blob, at_most=1)
    assert set(store.held().missing) <= set(blob.cut.nodes)
    fetch(store, blob, at_most=1_000)
    reopened = FileStore(store.folder)
    held = reopened.open_partial(blob.cut.tree)
    assert (held.kept_chunks, held.total_chunks) == (1_001, slices + 3)
    assert fetch(reopened, blob) == slices + 3 - 1_001
    reopened.finish(blob.encoding, blob.sha256, blob.size_bytes)
    assert reopened.has(blob.sha256)


def test_a_tree_whose_depth_does_not_fit_its_size_is_refused(store: FileStore) -> None:
    with pytest.raises(BlobDamaged, match=r"\b2\b.*\b10\b"):
        store.open_partial(Tree(root="a" * 64, depth=2, size_bytes=10))
    assert list((store.folder / "partial").iterdir()) == []


def test_a_list_of_the_wrong_length_is_refused(store: FileStore) -> None:
    short_list = bytes(64)
    store.open_partial(Tree(root=chunks.name(short_list), depth=1, size_bytes=5 * CHUNK_BYTES))
    with pytest.raises(BlobDamaged, match=rf"{chunks.name(short_list)[:12]} .*\b64\b"):
        store.keep(chunks.name(short_list), short_list)


@pytest.mark.parametrize("kind", [RAW, ZSTD])
def test_a_blob_that_is_not_what_was_signed_is_thrown_away(store: FileStore, source: Path, kind: str) -> None:
    blob = Blob(source, b"weights " * 50_000, kind)
    store.open_partial(blob.cut.tree)
    fetch(store, blob)
    with pytest.raises(BlobDamaged):
        store.finish(blob.encoding, "0" * 64, blob.size_bytes)
    assert list((store.folder / "partial").iterdir()) == []
    assert not store.has("0" * 64)
    assert store.open_partial(blob.cut.tree).kept_chunks == 0


def test_an_encoding_that_unpacks_to_more_than_was_signed_is_stopped(store: FileStore, source: Path) -> None:
    blob = Blob(source, bytes(3_000_000), ZSTD)
    store.open_partial(blob.cut.tree)
    fetch(store, blob)
    with pytest.raises(BlobDamaged, match=r"\b1,000\b"):
        store.finish(blob.encoding, blob.sha256, 1_000)
    assert list((store.folder / "partial").iterdir()) == []


def test_a_file_that_rotted_is_not_had(store: FileStore, source: Path) -> None:
    blob = Blob(source, random_bytes(CHUNK_BYTES))
    assert not store.has(blob.sha256)
    take(store, blob)
    with store.path(blob.sha256).open("r+b") as damaged:
        damaged.write(b"rot")
    assert not store.has(blob.sha256)
    take(store, blob)
    assert store.has(blob.sha256)


def test_current_points_at_the_newest_and_never_at_nothing(store: FileStore, source: Path) -> None:
    one, two = Blob(source, random_bytes(1_000, seed=1)), Blob(source, random_bytes(1_000, seed=2))
    take(store, one)
    take(store, two)
    store.make_current(VersionFolder("1.0.0", {"model.tflite": one.sha256}))
    store.make_current(VersionFolder("2.0.0", {"model.tflite": two.sha256}))
    current = store.folder / "current.tflite"
    assert current.read_bytes() == random_bytes(1_000, seed=2)
    assert not current.readlink().is_absolute()  # the folder may be moved
    with pytest.raises(BlobDamaged):
        store.make_current(VersionFolder("3.0.0", {"model.tflite": "0" * 64}))
    assert current.read_bytes() == random_bytes(1_000, seed=2)


def test_only_what_is_named_is_kept(store: FileStore, source: Path) -> None:
    blobs = [Blob(source, random_bytes(1_000, seed=seed)) for seed in range(3)]
    for blob in blobs:
        take(store, blob)
    stale, going_on = Blob(source, random_bytes(200_000, seed=8)), Blob(source, random_bytes(200_000, seed=9))
    store.open_partial(stale.cut.tree)
    fetch(store, stale, at_most=2)
    store.open_partial(going_on.cut.tree)
    fetch(store, going_on, at_most=2)
    store.keep_only([blobs[1].sha256])
    assert [store.has(blob.sha256) for blob in blobs] == [False, True, False]
    assert store.open_partial(going_on.cut.tree).kept_chunks == 2
    assert store.open_partial(stale.cut.tree).kept_chunks == 0


def test_what_a_power_cut_left_half_written_is_cleaned_up(store: FileStore) -> None:
    plain = store.folder / "partial" / f"{'a' * 64}.plain"
    plain.write_bytes(b"half")
    (store.folder / ".current.tflite.next").symlink_to("files/none")
    FileStore(store.folder)
    assert not plain.exists()
    assert not (store.folder / ".current.tflite.next").is_symlink()


def test_room_that_is_not_there_is_refused_before_the_first_byte(store: FileStore, source: Path) -> None:
    blob = Blob(source, random_bytes(CHUNK_BYTES))
    with pytest.raises(NoRoom, match=r"\b10,000,[\d,]+ .*\b[\d,]+ "):
        store.open_partial(blob.cut.tree, decoded_bytes=10**16)
    assert list((store.folder / "partial").iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_disk_that_fills_up_in_the_middle_leaves_the_partial_for_later(small_disk: Path, source: Path) -> None:
    store = FileStore(small_disk / "device")
    blob = Blob(source, b"weights " * 200_000 + random_bytes(600_000), ZSTD)  # 1.6 MB in 0.6 MB
    store.open_partial(blob.cut.tree)
    fetch(store, blob)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2_500_000))
    with pytest.raises(NoRoom, match="are free"):
        store.finish(blob.encoding, blob.sha256, blob.size_bytes)
    assert [path.suffix for path in (store.folder / "partial").iterdir() if path.suffix == ".plain"] == []
    ballast.unlink()
    assert store.open_partial(blob.cut.tree).missing == ()
    store.finish(blob.encoding, blob.sha256, blob.size_bytes)
    assert store.has(blob.sha256)


@pytest.mark.heavy
def test_sixty_megabytes_pass_through_four(store: FileStore, source: Path) -> None:
    blob = Blob(source, random_bytes(60_000_000))
    tracemalloc.start()
    try:
        before_bytes = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        take(store, blob)
        store.open_partial(blob.cut.tree)
        store.close_partial()
        assert tracemalloc.get_traced_memory()[1] - before_bytes < 4_000_000
    finally:
        tracemalloc.stop()
    assert store.has(blob.sha256)
