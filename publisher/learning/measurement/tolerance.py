"""How far a sound device may be from the publisher's outputs, from what was measured.

Kernels of other hardware round otherwise. In floats that shows in the last digits. A
layer that rounds to integers between (dynamic-range, int8) turns one such digit,
rarely, into a whole step: of the inputs of such a network one in a hundred moves far
and the others not at all. So a bound has a tolerance that four times covers what
reference kernels and hardly other inputs do, and for those networks a share of runs
that may be beyond it, up to a ceiling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from protocol.content.difference import is_exact
from protocol.messages.contract import Tensor
from protocol.messages.manifest import GoldenBound
from publisher.learning.data.dataset import Array
from publisher.learning.data.rows import is_ragged

FLOAT_TOLERANCE: Final = 1e-3  # of what an output moves by; kernels differ by 2e-6 on digits, deeper networks by more
LEVEL: Final = 1e-2  # of the largest value, for outputs that move little around a high one
TOLERANCE_MIN: Final = 1e-6
DIFFERENCE_FACTOR: Final = 4  # other hardware may differ more than was measured on a few samples
EXACT_TOLERANCE: Final = 0.02  # share of classes, flags or words that differ in one output
OUTLIERS: Final = 1 / 8  # of the runs; were it one in a hundred, five of 32 would come once in 50,000 releases
OUTLIERS_MAX: Final = 1 / 2
CEILING_SPREADS: Final = 0.5
LEGACY_SPREADS: Final = 0.15  # for devices that know one tolerance: the largest step seen was 0.11
STEPPED: Final = frozenset({"dynamic-range", "int8", "uint8", "int16"})


def bound(
    tensor: Tensor, rows: Array, differences: Sequence[float], slack: float, *, stepped: bool, discrete: bool
) -> GoldenBound:
    """The bound of one output. `rows`: what it gave; `differences`: as it was measured.

    `stepped`: rounds to integers between; `discrete`: has operations such as a sort,
    which swap whole rows where two scores are all but equal.
    """
    if is_exact(tensor):
        return _with_outliers(EXACT_TOLERANCE, differences)
    finite = [error for error in differences if np.isfinite(error)]
    largest = _largest(rows, tensor)
    reach = max(min(1.0, largest), deviation(rows, tensor), LEVEL * largest)
    usual = max(TOLERANCE_MIN, FLOAT_TOLERANCE * reach)
    if discrete:
        common = float(np.quantile(finite, 0.75)) if finite else 0.0
        return _with_outliers(max(usual, slack, DIFFERENCE_FACTOR * common), differences)
    tolerance = max(usual, slack, DIFFERENCE_FACTOR * max(finite, default=0.0))
    if not stepped:
        return GoldenBound(tolerance=tolerance)
    ceiling = max(DIFFERENCE_FACTOR * tolerance, CEILING_SPREADS * deviation(rows, tensor))
    return GoldenBound(tolerance=tolerance, outliers=OUTLIERS, ceiling=ceiling)


def legacy_tolerance(bounds: Sequence[GoldenBound], outputs: Sequence[tuple[Tensor, Array]], precision: str) -> float:
    """One tolerance for all outputs and runs, for devices that know no bounds."""
    largest = [each.tolerance for each in bounds]
    if precision == "dynamic-range":
        largest += [LEGACY_SPREADS * deviation(rows, tensor) for tensor, rows in outputs]
    return max(largest)


def deviation(rows: Array, tensor: Tensor) -> float:
    """Root mean square deviation of real values from run to run; 0 if unknown."""
    if is_ragged(rows) or rows.dtype.kind not in "fiu" or not rows.size:
        return 0.0
    return float(np.sqrt(rows.astype(np.float64).var(axis=0).mean())) * (tensor.scale or 1.0)


def _with_outliers(tolerance: float, differences: Sequence[float]) -> GoldenBound:
    share = float(np.mean([error > tolerance for error in differences])) if differences else 0.0
    return GoldenBound(tolerance=tolerance, outliers=min(OUTLIERS_MAX, max(OUTLIERS, 2 * share)))


def _largest(rows: Array, tensor: Tensor) -> float:
    if is_ragged(rows):
        return max((_largest(row, tensor) for row in rows), default=0.0)
    if not rows.size:
        return 0.0
    return float(np.abs(rows.astype(np.float64) - tensor.zero_point).max()) * (tensor.scale or 1.0)
