"""The samples that show quantizers their ranges: drawn once, and kept from version to version while inputs look alike.

Versions are then quantized alike and stay comparable, and little changes from one to the next. Imports no TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from publisher.learning.data.dataset import Floats

SAMPLES: Final = 200
SEED: Final = 7  # not the training's seed: all versions of a model are calibrated alike
RANGE_MARGIN: Final = 0.5  # of its width, by which a range may have moved: two draws of outliers differ by as much


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """An earlier set (samples, features …) and the version that it was drawn for."""

    version: str
    samples: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """`version` is the earlier one that the samples were drawn for; None where they were drawn for this one.

    `anew` says why, where there was an earlier set to keep.
    """

    samples: Floats
    version: str | None = None
    anew: str = ""


def calibration(x_train: Floats, kept: Kept | None) -> Calibration:
    """The kept set while samples look alike; else a new one."""
    fresh = drawn_from(x_train)
    if kept is None:
        return Calibration(fresh)
    other = _other(kept.samples, fresh)
    if other:
        return Calibration(fresh, anew=f"its samples have another {other} than those of {kept.version}")
    return Calibration(kept.samples, kept.version)


def drawn_from(x_train: Floats) -> Floats:
    """A new set: the same samples for the same data, whatever the version."""
    rng = np.random.default_rng(SEED)
    picked: Floats = x_train[rng.permutation(len(x_train))[:SAMPLES]]
    return picked


def _other(kept: Floats, fresh: Floats) -> str:
    """What samples no longer have in common; empty where no other scaling came between."""
    if kept.shape[1:] != fresh.shape[1:]:
        return "shape"
    low, high = float(fresh.min()), float(fresh.max())
    margin = RANGE_MARGIN * (high - low)
    return "" if abs(kept.min() - low) <= margin and abs(kept.max() - high) <= margin else "range"
