"""Truths as an application gives them, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from protocol.errors import BadInput
from protocol.tasks.task import Array


def class_index(given: Any, labels: Sequence[str], classes: int) -> int:
    """The index of a class, by name or number. Raises BadInput if it is unknown."""
    if isinstance(given, str):
        at = [index for index, label in enumerate(labels) if label == given]
        if not at:
            raise BadInput(f"{given!r} is none of the model's labels: {', '.join(labels[:10]) or 'it has none'}")
        if len(at) > 1:
            raise BadInput(
                f"{given!r} names the classes {', '.join(map(str, at))}", hint="give the class by its number"
            )
        return at[0]
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or not 0 <= given < classes:
        raise BadInput(f"the true class {given!r} is not between 0 and {classes - 1}")
    return int(given)


def real_values(given: Any) -> Array:
    """Finite numbers as float64. Raises BadInput."""
    try:
        values = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise BadInput(f"the true values {str(given)[:100]} are no numbers") from None
    if not np.isfinite(values).all():
        raise BadInput(f"the true values {str(given)[:100]} are not all finite")
    return values
