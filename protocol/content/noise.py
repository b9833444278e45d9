"""Golden inputs from a seed: the same bits on every machine and numpy.

Bits are SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
generators", 2014) by counter, in 64-bit integers. A float is low + k * step for an
integer k below 2**24, in float64 with one rounding an operation: no sum, no fused one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protocol.messages.golden_index import Noise

Array = NDArray[Any]
Words = NDArray[np.uint64]
STRING: Final = "string"
STRING_CHARS: Final = 8
_STEP: Final = 0x9E3779B97F4A7C15
_FACTORS: Final = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_WORD: Final = 2**64
_FLOAT_STEPS: Final = 2**24  # all of them are floats of 32 bits


def random_words(seed: int, stream: int, count: int) -> Words:
    """`count` words of 64 random bits; each pair of seed and stream has its own."""
    start = (int(_mixed(np.array([seed % _WORD], np.uint64))[0]) + stream * _FACTORS[0]) % _WORD
    return _mixed(np.uint64(start) + np.uint64(_STEP) * np.arange(1, count + 1, dtype=np.uint64))


def noise(spec: Noise, shape: tuple[int, ...], seed: int, stream: int) -> Array:
    """Values of a type, as `spec` says. Strings are of eight small letters."""
    words = random_words(seed, stream, int(np.prod(shape, dtype=np.int64)))
    return _values(spec, words).reshape(shape)


def positions(size: int, count: int, seed: int, stream: int) -> NDArray[np.int64]:
    """Up to `count` ascending positions below `size`, one in each of as many parts."""
    if size <= count:
        return np.arange(size, dtype=np.int64)
    edges = np.arange(count + 1, dtype=np.int64) * size // count
    inside = random_words(seed, stream, count) % np.diff(edges).astype(np.uint64)
    return edges[:-1] + inside.astype(np.int64)


def hash_of(arrays: Iterable[Array]) -> str:
    """SHA-256 of the values, little-endian and in order of the last dimension first."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def _mixed(words: Words) -> Words:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(_FACTORS[0])
    words = (words ^ (words >> np.uint64(27))) * np.uint64(_FACTORS[1])
    return words ^ (words >> np.uint64(31))


def _values(spec: Noise, words: Words) -> Array:
    if spec.dtype == STRING:
        letters = [(words >> np.uint64(8 * place)) % np.uint64(26) + np.uint64(97) for place in range(STRING_CHARS)]
        strings: Array = np.stack(letters, axis=-1).astype(np.uint8).view(f"S{STRING_CHARS}").ravel()
        return strings
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "b":
        return (words & np.uint64(1)).astype(dtype)
    if dtype.kind == "f":
        step = (spec.high - spec.low) / _FLOAT_STEPS
        return (spec.low + (words >> np.uint64(40)).astype(np.float64) * step).astype(dtype)
    span = int(spec.high) - int(spec.low) + 1
    return (int(spec.low) + (words % np.uint64(span)).astype(np.int64)).astype(dtype)
