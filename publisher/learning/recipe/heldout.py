"""Writes a recipe's held-back data for `device-client run --replay FILE`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from publisher.learning.recipe.recipe import Recipe


def write_heldout_npz(recipe: Recipe, path: Path) -> int:
    """Write `x` (samples, …), and `y` where a truth is an array; return the count."""
    data = recipe.data
    truths = recipe.objective.replayed(data.y_test)
    x = recipe.raw_test[0] if recipe.raw_test else data.x_test  # as an application gives it
    arrays = {"x": x} if truths is None else {"x": x, "y": truths}
    arrays |= {f"x_{index}": x for index, x in enumerate(data.test) if data.more_test}
    with path.open("wb") as file:  # numpy would add .npz to a name
        np.savez(file, **arrays)
    return len(data.x_test)
