"""Steps on numbers: scale, normalize, cast. Each operation rounds by itself.

Results too small for a normal float32 are 0: tflite-runtime for aarch64 makes the
processor flush them to zero from the moment it is imported, others do not.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SMALLEST_NORMAL: Final = 1.1754943508222875e-38  # of float32
FULL_SCALE: Final = np.float32(1 / 32_768)  # of an int16 sample


def scale(values: Array, factor: np.float32, offset: np.float32) -> Array:
    return flushed(flushed(values.astype(np.float32, copy=False) * factor) + offset)


def normalize(values: Array, mean: Array, std: Array) -> Array:
    return flushed(flushed(values.astype(np.float32, copy=False) - mean) / std)


def flushed(values: Array) -> Array:
    """0 for subnormal numbers, and for -0."""
    small = np.abs(values) < SMALLEST_NORMAL
    return np.where(small, np.zeros((), values.dtype), values) if small.any() else values


def cast(values: Array, dtype: np.dtype[Any]) -> Array:
    """To a type; to whole numbers by rounding half to even, held to their range."""
    if values.dtype == dtype:
        return values
    if dtype.kind == "f":
        return values.astype(dtype)
    bounds = np.iinfo(dtype)
    if values.dtype.kind in "iu":
        held = np.clip(values.astype(np.int64, copy=False), bounds.min, bounds.max)
        return held.astype(dtype)
    wide = np.rint(values.astype(np.float64))
    kept = np.clip(
        wide, float(bounds.min), float(np.nextafter(float(bounds.max), 0) if bounds.bits > 53 else bounds.max)
    )
    return kept.astype(dtype)


def as_samples(sound: Array) -> Array:
    """float32 samples, 1.0 for full scale."""
    return sound * FULL_SCALE if sound.dtype == np.int16 else flushed(sound.astype(np.float32, copy=False))
