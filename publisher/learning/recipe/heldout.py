"""Writes a recipe's held-back data for a device to replay: `device-client run --replay FILE`. Imports no TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from publisher.learning.recipe.recipe import Recipe


def heldout_npz(recipe: Recipe, path: Path) -> int:
    """Write `x` (samples, features …) float32 and `y` (samples,) int64; return the number of samples."""
    with path.open("wb") as file:  # given a name, numpy would add .npz to it
        np.savez(file, x=recipe.data.x_test, y=recipe.data.y_test)
    return len(recipe.data.x_test)
