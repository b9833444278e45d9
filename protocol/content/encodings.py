"""Encodings of a blob for transfer: raw or zstd. Decoding bounds its memory and output.

zstandard is optional: a device without it uses the `raw` encoding of each release.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, Final

from protocol.errors import BlobDamaged

RAW: Final = "raw"
ZSTD: Final = "zstd"
ZSTD_WINDOW_MAX_BYTES: Final = 8 * 1024 * 1024  # memory of a decoder; a Pi Zero has it
LARGE_BYTES: Final = 8 * 1024 * 1024  # over this, level 19 takes half a second for each MB
SMALL_LEVEL: Final = 19
LARGE_LEVEL: Final = 12  # a twentieth of the time; 2 % larger where weights are pruned, 10 % where clustered
JOB_BYTES: Final = 8 * 1024 * 1024  # of a thread; the bytes depend on it, but not on the number of threads
THREADS_MAX: Final = 4  # each takes about 20 MB
SMALL_RATIO_MAX: Final = 0.97  # of the raw size; a smaller gain is not worth another blob on the broker
LARGE_RATIO_MAX: Final = 0.75  # four downloads then save what the second upload costs
_PIECE_BYTES: Final = 65_536


def known_here() -> frozenset[str]:
    """The kinds that this installation can decode."""
    return frozenset({RAW, ZSTD} if find_spec("zstandard") else {RAW})


def encode_zstd(source: Path, target: Path) -> bool:
    """Compress `source` to `target`; False, and no `target`, if it saves too little.

    Equal files give equal bytes on every machine with the same version of zstandard.
    """
    import zstandard  # optional on the device, so not at the top

    size_bytes = source.stat().st_size
    large = size_bytes > LARGE_BYTES
    in_threads = {"threads": _threads(), "job_size": JOB_BYTES} if large else {}
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LARGE_LEVEL if large else SMALL_LEVEL,
        window_log=ZSTD_WINDOW_MAX_BYTES.bit_length() - 1,
        write_checksum=False,
        **in_threads,
    )
    with source.open("rb") as plain, target.open("wb") as packed:
        zstandard.ZstdCompressor(compression_params=parameters).copy_stream(plain, packed)
    if target.stat().st_size <= size_bytes * (LARGE_RATIO_MAX if large else SMALL_RATIO_MAX):
        return True
    target.unlink()
    return False


def _threads() -> int:
    """At least 1: with 0, zstd cuts no jobs and gives other bytes."""
    return min(len(os.sched_getaffinity(0)), THREADS_MAX)


def decode(kind: str, packed: BinaryIO, plain: BinaryIO, *, sha256: str, size_bytes: int) -> None:
    """Raises BlobDamaged if it exceeds `size_bytes`, or its hash is not `sha256`."""
    pieces = _DECODERS.get(kind)
    if pieces is None:
        raise BlobDamaged(f"this client does not know the encoding {kind!r}")
    digest, written = hashlib.sha256(), 0
    for piece in pieces(packed):
        written += len(piece)
        if written > size_bytes:
            raise BlobDamaged(f"the {kind} encoding of {sha256[:12]} unpacks to more than {size_bytes:,} bytes")
        digest.update(piece)
        plain.write(piece)
    if digest.hexdigest() != sha256:
        raise BlobDamaged(f"the {kind} encoding of {sha256[:12]} unpacks to other bytes than were signed")


def _raw(packed: BinaryIO) -> Iterator[bytes]:
    while piece := packed.read(_PIECE_BYTES):
        yield piece


def _zstd(packed: BinaryIO) -> Iterator[bytes]:
    import zstandard  # optional on the device, so not at the top

    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_MAX_BYTES)
    try:
        yield from decompressor.read_to_iter(packed, write_size=_PIECE_BYTES)
    except zstandard.ZstdError as broken:
        raise BlobDamaged(f"not a zstd stream: {broken}") from None


_DECODERS: Final[dict[str, Callable[[BinaryIO], Iterator[bytes]]]] = {RAW: _raw, ZSTD: _zstd}
