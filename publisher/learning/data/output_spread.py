"""How far an output's values spread from row to row, as a contract tells it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.messages.contract import SPREADS_MAX


def spread_of_rows(real: NDArray[Any]) -> tuple[float, ...]:
    """As `Tensor.spread`, of real numbers (samples, …), at least one."""
    squares = np.square(real - real.mean(axis=0, dtype=np.float64))
    last = real.shape[-1] if real.ndim > 1 else 1
    if 1 < last <= SPREADS_MAX:
        return tuple(float(each) for each in np.sqrt(squares.reshape(-1, last).mean(axis=0)))
    return (float(np.sqrt(squares.mean())),)
