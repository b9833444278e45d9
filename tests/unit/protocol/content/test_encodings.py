"""Encodings round-trip, and a hostile stream fills neither disk nor memory."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from protocol.content.chunks import name
from protocol.content.encodings import LARGE_BYTES, RAW, ZSTD, decode, encode_zstd, known_here
from protocol.errors import BlobDamaged
from protocol.messages.manifest import cheapest
from tests.builders import a_hash, an_encoding

WEIGHTS = b"".join(number.to_bytes(4, "little") for number in range(50_000))


def unpacked(kind: str, packed: bytes, *, of: bytes = WEIGHTS) -> bytes:
    """What `decode` writes when the blob `of` was signed."""
    plain = io.BytesIO()
    decode(kind, io.BytesIO(packed), plain, sha256=name(of), size_bytes=len(of))
    return plain.getvalue()


def packed_by_us(tmp_path: Path, content: bytes = WEIGHTS) -> bytes:
    (tmp_path / "plain").write_bytes(content)
    assert encode_zstd(tmp_path / "plain", tmp_path / "packed")
    return (tmp_path / "packed").read_bytes()


def test_both_encodings_give_the_blob_back(tmp_path: Path) -> None:
    assert unpacked(RAW, WEIGHTS) == WEIGHTS
    packed = packed_by_us(tmp_path)
    assert len(packed) < len(WEIGHTS) / 2
    assert unpacked(ZSTD, packed) == WEIGHTS


def test_an_encoding_that_saves_too_little_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(os.urandom(100_000))
    assert not encode_zstd(tmp_path / "plain", tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


def test_a_large_file_is_not_sent_twice_for_a_tenth_and_a_small_one_is(tmp_path: Path) -> None:
    for size_bytes, made in ((LARGE_BYTES + 1, False), (100_000, True)):
        (tmp_path / "plain").write_bytes(os.urandom(size_bytes - size_bytes // 10) + bytes(size_bytes // 10))
        assert encode_zstd(tmp_path / "plain", tmp_path / "packed") is made


def test_a_large_file_that_halves_gives_the_same_bytes_on_one_processor_and_on_all(tmp_path: Path) -> None:
    content = b"".join(os.urandom(1_000) + bytes(1_000) for _ in range(LARGE_BYTES // 1_500))
    on_all = packed_by_us(tmp_path, content)
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    try:
        assert packed_by_us(tmp_path, content) == on_all
    finally:
        os.sched_setaffinity(0, processors)
    assert unpacked(ZSTD, on_all, of=content) == content


@pytest.mark.parametrize("kind", [RAW, ZSTD])
def test_more_bytes_than_were_signed_are_never_written(tmp_path: Path, kind: str) -> None:
    content = WEIGHTS + WEIGHTS
    packed = content if kind == RAW else packed_by_us(tmp_path, content)
    plain = io.BytesIO()
    with pytest.raises(BlobDamaged, match="200,000"):
        decode(kind, io.BytesIO(packed), plain, sha256=name(WEIGHTS), size_bytes=len(WEIGHTS))
    assert len(plain.getvalue()) <= len(WEIGHTS)


@pytest.mark.parametrize("kind", [RAW, ZSTD])
def test_other_bytes_of_the_right_length_are_refused(tmp_path: Path, kind: str) -> None:
    content = WEIGHTS[:-1] + b"!"
    packed = content if kind == RAW else packed_by_us(tmp_path, content)
    with pytest.raises(BlobDamaged, match=rf"{kind} .*{name(WEIGHTS)[:12]}\D*$"):
        unpacked(kind, packed)


def test_a_stream_that_ends_early_is_refused(tmp_path: Path) -> None:
    packed = packed_by_us(tmp_path)
    for end in (0, 1, 10, len(packed) // 2, len(packed) - 1):
        with pytest.raises(BlobDamaged):
            unpacked(ZSTD, packed[:end])


def test_what_is_no_zstd_stream_is_refused() -> None:
    with pytest.raises(BlobDamaged, match="not a zstd stream"):
        unpacked(ZSTD, b"certainly not zstd")


def test_a_window_that_would_not_fit_a_small_board_is_refused() -> None:
    wide = zstandard.ZstdCompressionParameters.from_level(1, window_log=27, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    packed = packer.compress(WEIGHTS) + packer.flush()
    with pytest.raises(BlobDamaged, match="not a zstd stream"):
        unpacked(ZSTD, packed)


def test_an_unknown_encoding_is_refused_by_name() -> None:
    with pytest.raises(BlobDamaged, match="'brotli'"):
        unpacked("brotli", WEIGHTS)


BOMB = """
import io, resource, sys
from protocol.content.encodings import decode
from protocol.errors import BlobDamaged
packed, plain = io.BytesIO(sys.stdin.buffer.read()), io.BytesIO()
import zstandard
zstandard.ZstdDecompressor()
before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode("zstd", packed, plain, sha256="0" * 64, size_bytes=1024)
except BlobDamaged as refusal:
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    print(len(plain.getvalue()), grown_kib, refusal)
"""


@pytest.mark.heavy
def test_a_bomb_of_one_gigabyte_that_claims_one_kilobyte_is_refused_in_little_memory() -> None:
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    zeros = bytes(10_000_000)
    bomb = b"".join([packer.compress(zeros) for _ in range(100)]) + packer.flush()
    assert len(bomb) < 200_000
    child = subprocess.run([sys.executable, "-c", BOMB], input=bomb, capture_output=True, check=True)
    written_bytes, grown_kib, *refusal = child.stdout.decode().split()
    assert int(written_bytes) == 0
    assert int(grown_kib) < 32_000
    assert "unpacks to more than" in " ".join(refusal)


def test_the_cheapest_encoding_is_taken_of_those_that_can_be_used_here() -> None:
    base = a_hash("the live model")
    raw, zstd = an_encoding(kind=RAW, size_bytes=30_000), an_encoding(kind=ZSTD, size_bytes=9_000)
    delta = an_encoding(kind="tensor-delta", size_bytes=800, base=base)
    offered = (raw, zstd, delta)
    everything = frozenset({RAW, ZSTD, "tensor-delta"})
    assert cheapest(offered, everything, frozenset({base})) == delta
    assert cheapest(offered, everything, frozenset()) == zstd
    assert cheapest(offered, frozenset({RAW}), frozenset({base})) == raw
    assert cheapest((zstd,), frozenset({RAW}), frozenset()) is None


def test_this_installation_decodes_what_it_makes() -> None:
    assert known_here() == {RAW, ZSTD}
