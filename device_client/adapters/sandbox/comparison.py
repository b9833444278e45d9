"""Compares a device's outputs with the publisher's, within the bounds of a variant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from device_client.adapters.runtime.tflite import Array
from protocol.content.difference import difference
from protocol.messages.contract import Tensor
from protocol.messages.manifest import GoldenBound

OUTLIERS_MIN: Final = 2  # runs, where a bound has outliers: a share of a small set would be none


@dataclass(slots=True)
class OutputComparison:
    """One bound for each output. `runs`: how many the whole golden set has."""

    bounds: Sequence[GoldenBound]
    outputs: Sequence[Tensor]
    runs: int
    largest: float = 0.0
    _exceeded: dict[int, int] = field(default_factory=dict)

    def refusal(self, sample: int, index: int, expected: Array, got: Array) -> str:
        """Count one output of a run; in words why it is refused, or empty."""
        error, where = difference(self.outputs[index], expected, got)
        bound, place = self.bounds[index], f"{self._named(index, where)} of golden sample {sample}"
        if error is None:
            return f"{place} is not a number"
        if np.isfinite(error):
            self.largest = max(self.largest, error)
        if error <= bound.tolerance:
            return ""
        if not bound.outliers or (bound.ceiling is not None and error > bound.ceiling):
            allowed = bound.tolerance if not bound.outliers or bound.ceiling is None else bound.ceiling
            if not np.isfinite(error):
                return f"output {index} of golden sample {sample} has {got.size} values, not {expected.size}"
            return f"{place} differs by {error:.2g}, allowed {allowed:g}"
        return self._count(index, bound)

    def _count(self, index: int, bound: GoldenBound) -> str:
        may = max(OUTLIERS_MIN, int(bound.outliers * self.runs))
        self._exceeded[index] = self._exceeded.get(index, 0) + 1
        if self._exceeded[index] <= may:
            return ""
        return f"output {index} differs by more than {bound.tolerance:g} in over {may} of {self.runs} golden runs"

    def _named(self, index: int, place: int) -> str:
        return f"output {place}" if len(self.outputs) == 1 else f"value {place} of output {index}"
