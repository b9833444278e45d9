"""How far the outputs of two runs are apart, for the publisher and for devices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protocol.messages.contract import Tensor

Array = NDArray[np.generic]


def difference(tensor: Tensor, expected: Array, got: Array) -> tuple[float | None, int]:
    """How far an output is off, and which value; None: not a number.

    The largest difference of real numbers; of strings, booleans and integers without a
    scale, the share of values that differ. Infinite for another number of values.
    """
    if expected.size != got.size:
        return np.inf, 0
    if not expected.size:
        return 0.0, 0
    if is_exact(tensor):
        wanted = expected.astype(object) if expected.dtype.kind == "S" else expected  # as the runtime gives strings
        unlike = np.asarray(wanted.ravel() != got.ravel())
        return float(np.mean(unlike)), int(np.argmax(unlike))
    ours, theirs = (np.asarray(each, np.float64).ravel() for each in (expected, got))
    with np.errstate(invalid="ignore"):
        errors = np.abs(theirs - ours) * (tensor.scale or 1.0)
    place = int(np.nan_to_num(errors, nan=np.inf).argmax())
    return (float(errors[place]) if np.isfinite(errors[place]) else None), place


def is_exact(tensor: Tensor) -> bool:
    """Whether its values are equal or not, and never near."""
    return not tensor.scale and not tensor.dtype.startswith("float")
