"""Steps on numbers: scale, normalize, cast. Each operation rounds by itself."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FULL_SCALE: Final = np.float32(1 / 32_768)  # of an int16 sample


def scale(values: Array, factor: np.float32, offset: np.float32) -> Array:
    return values.astype(np.float32, copy=False) * factor + offset


def normalize(values: Array, mean: Array, std: Array) -> Array:
    return (values.astype(np.float32, copy=False) - mean) / std


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
    return sound * FULL_SCALE if sound.dtype == np.int16 else sound.astype(np.float32, copy=False)
