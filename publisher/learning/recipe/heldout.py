"""Writes a recipe's held-back data for `device-client run --replay FILE`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from publisher.learning.recipe.recipe import Recipe


def write_heldout_npz(recipe: Recipe, path: Path) -> int:
    """Write `x` (samples, …) float32 and `y` (samples,) int64; return the count."""
    with path.open("wb") as file:  # numpy would add .npz to a name
        np.savez(file, x=recipe.data.x_test, y=recipe.data.y_test)
    return len(recipe.data.x_test)
