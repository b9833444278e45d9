"""The samples from which quantizers take their ranges, kept from version to version.

So little changes from one version to the next. Imports no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from publisher.learning.data.dataset import Floats

SAMPLES: Final = 200
SEED: Final = 7  # not the training's: all versions of a model are calibrated alike
RANGE_MARGIN: Final = 0.5  # of its width, by which a range may move: two draws of outliers differ as much


@dataclass(frozen=True, slots=True, eq=False)
class KeptCalibration:
    version: str  # that it was drawn for
    samples: Floats  # (samples, features …)


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """`samples` are of the first input; `more` of the others, drawn with them."""

    samples: Floats
    version: str | None = None  # the earlier one they were drawn for
    redrawn_because: str = ""  # why an earlier set was not kept
    more: tuple[Floats, ...] = ()

    @property
    def inputs(self) -> tuple[Floats, ...]:
        return (self.samples, *self.more)


def choose_calibration(inputs: Sequence[Floats], kept: KeptCalibration | None) -> Calibration:
    """The kept set while samples have its shape and range; else a new one.

    Only that of a network of one input is kept from version to version.
    """
    order = np.random.default_rng(SEED).permutation(len(inputs[0]))[:SAMPLES]  # the same for the same data
    fresh, *more = (x[order] for x in inputs)
    if kept is None or more:
        return Calibration(fresh, more=tuple(more))
    if changed := _changed(kept.samples, fresh):
        return Calibration(fresh, redrawn_because=f"its samples have another {changed} than those of {kept.version}")
    return Calibration(kept.samples, kept.version)


def _changed(kept: Floats, fresh: Floats) -> str:
    """What of the samples changed, shape or range; empty if neither."""
    if kept.shape[1:] != fresh.shape[1:]:
        return "shape"
    low, high = float(fresh.min()), float(fresh.max())
    margin = RANGE_MARGIN * (high - low)
    return "" if abs(kept.min() - low) <= margin and abs(kept.max() - high) <= margin else "range"
