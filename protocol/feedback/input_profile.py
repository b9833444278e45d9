"""Compares an input with the training set in three numbers: level, its bin, distance.

Publisher and device use the same code. docs/FEEDBACK.md has the formulas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protocol.messages.manifest import InputStatistics

SEGMENTS_MAX: Final = 16
LEVEL_BINS: Final = 8  # each one standard deviation wide; the outermost two take all that lies beyond
UNIT: Final = 1_000  # thousandths: whole numbers add up exactly
PROFILE_MAX: Final = 1_000_000  # thousandths; bounded so that sums of squares stay within 64 bits for long
STD_FLOOR: Final = 1e-3  # of the largest: else a segment that hardly varied in training would outweigh all others

_SUM: Final[dict[str, type]] = {"B": np.uint32}  # exact for pictures, and faster

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class InputSample:
    """The profile of one input: `level` and `distance` in thousandths, `bin` 0-7."""

    level: int
    bin: int
    distance: int


class Profile:
    """Measures inputs. Without statistics: the level is a mean, the distance 0."""

    def __init__(
        self, values: int, statistics: InputStatistics | None = None, *, scale: float = 1.0, zero_point: int = 0
    ) -> None:
        """`values`: of one input; statistics for another size are ignored.

        `scale`, `zero_point`: of inputs that come quantized; statistics are of reals.
        """
        self._starts, lengths = segments_of(values)
        self._scale = None if scale == 1.0 and not zero_point else np.float32(scale)
        self._zeros = (lengths * zero_point).astype(np.float32)
        if statistics is not None and not len(lengths) == len(statistics.segment_means) == len(statistics.segment_stds):
            statistics = None
        self._values = values
        self._inverse = (1.0 / lengths).astype(np.float32)
        self._mean, self._std = (statistics.mean, _nonzero(statistics.std)) if statistics else (0.0, 1.0)
        self._means: Floats | None = None
        if statistics:
            self._means = np.array(statistics.segment_means, np.float32)
            self._weights = _weights(np.array(statistics.segment_stds, np.float32))

    def measure(self, flat: NDArray[Any]) -> InputSample:
        """`flat`: (values,) finite numbers, as they are stored."""
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is bounded below
            sums = np.add.reduceat(flat, self._starts, dtype=_SUM.get(flat.dtype.char, np.float32))
            if self._scale is not None:
                sums = (sums - self._zeros) * self._scale
            shift = (float(sums.sum()) / self._values - self._mean) / self._std
            distance = 0.0
            if self._means is not None:
                apart = (sums * self._inverse - self._means) * self._weights
                distance = math.sqrt(float(apart.dot(apart)) / len(apart))
        at = min(max(math.floor(_bounded(shift) / UNIT) + LEVEL_BINS // 2, 0), LEVEL_BINS - 1)
        return InputSample(_bounded(shift), at, _bounded(distance))


def segments_of(values: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The start and length of each segment of an input."""
    count = min(SEGMENTS_MAX, values)
    edges = np.arange(count + 1, dtype=np.intp) * values // count
    return edges[:-1], np.diff(edges).astype(np.float64)


def _weights(stds: Floats) -> Floats:
    largest = float(stds.max())
    floor = np.float32(STD_FLOOR * largest if largest > 0 else 1.0)
    return (np.float32(1.0) / np.maximum(stds, floor)).astype(np.float32)


def _nonzero(std: float) -> float:
    return std if std > 0 else 1.0


def _bounded(figure: float) -> int:
    return PROFILE_MAX if math.isnan(figure) else round(max(-PROFILE_MAX, min(PROFILE_MAX, figure * UNIT)))
