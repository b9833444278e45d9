"""The values of a contract's tensors as arrays: their types, and real numbers.

real = scale * (stored - zero_point), in float32 on every machine.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protocol.messages.contract import Tensor

Array = NDArray[Any]
STRING: Final = "string"  # the type of a contract whose arrays hold bytes objects


def array_type(dtype: str) -> np.dtype[Any]:
    """Numpy's type for the type of a contract; strings are objects, of any length."""
    return np.dtype(object if dtype == STRING else dtype)


def quantize(real: ArrayLike, scale: float, zero_point: int, dtype: np.dtype[Any]) -> Array:
    """The nearest stored integers, halves to even; what is beyond them saturates."""
    bounds = np.iinfo(dtype)
    steps = np.rint(np.asarray(real, np.float32) / np.float32(scale)) + np.float32(zero_point)
    kept: Array = np.clip(steps, bounds.min, bounds.max)
    if dtype.itemsize < 4:
        return kept.astype(dtype)
    return np.clip(kept.astype(np.float64), bounds.min, bounds.max).astype(dtype)  # float32 rounds the bound up


def dequantize(stored: Array, scale: float, zero_point: int) -> Array:
    real: Array = stored.astype(np.float32)
    real -= np.float32(zero_point)
    real *= np.float32(scale)
    return real


def real_values(stored: Array, tensor: Tensor) -> Array:
    """Real numbers of an array of `tensor`: of complex ones pairs; texts stay."""
    if stored.dtype == object and tensor.dtype != STRING:  # rows of unlike sizes
        ragged = np.empty(len(stored), object)
        ragged[:] = [real_values(row, tensor) for row in stored]
        return ragged
    if tensor.scale:
        return dequantize(stored, tensor.scale, tensor.zero_point)
    return np.stack([stored.real, stored.imag], -1) if stored.dtype.kind == "c" else stored
