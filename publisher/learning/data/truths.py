"""The truths in a user's data: `y` for every task, or `y_boxes` and `y_classes`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from protocol.errors import BadInput
from protocol.messages.contract import Contract
from protocol.tasks.selection import task_of
from publisher.learning.data.dataset import Array, Labels

BOXES: Final = "y_boxes"  # (samples, most boxes of one, 4)
EMBEDDING: Final = "embedding"
CLASSES: Final = "y_classes"  # (samples, most boxes of one), -1 where there is no box


def read_truths(arrays: Mapping[str, Array], count: int, where: str) -> Array | None:
    """The truth of each of `count` samples, as given; None without. Raises BadInput."""
    if BOXES in arrays or CLASSES in arrays:
        return _boxes(arrays, count, where)
    y = arrays.get("y")
    if y is not None and (not y.ndim or len(y) != count):
        given = f"{len(y)} truths" if y.ndim else "one value"
        raise BadInput(f"{where}: y has {given} for {count} samples", hint="give each sample its own")
    return y


def classes_of(y: Array | None) -> Labels | None:
    """Truths that are classes, one for each sample; None for any others."""
    if y is None or y.ndim != 1 or y.dtype.kind not in "iu":
        return None
    return y.astype(np.int64)


def check_truths(y: Array, contract: Contract, labels: Sequence[str], where: str) -> list[Any]:
    """Each truth as the contract's task takes it. Raises BadInput that names the first
    that is none."""
    task, kinds = task_of(contract), classes_of(y)
    if task.name == EMBEDDING and kinds is not None:
        return [int(kind) for kind in kinds]  # of what is alike, as recall at 1 takes them
    checked = []
    for at, given in enumerate(y):
        try:
            checked.append(task.truth(given, labels))
        except BadInput as wrong:
            hint = wrong.hint or f"the task is {task.name}: see docs/TASKS.md; --task names another"
            raise BadInput(f"{where}: sample {at}: {wrong.message}", hint=hint) from None
    return checked


def _boxes(arrays: Mapping[str, Array], count: int, where: str) -> Array:
    boxes, classes = arrays.get(BOXES), arrays.get(CLASSES)
    if boxes is None or classes is None:
        raise BadInput(f"{where} has only one of {BOXES} and {CLASSES}", hint="save both")
    if boxes.shape != (count, *classes.shape[1:], 4) or classes.ndim != 2 or classes.dtype.kind not in "iu":
        raise BadInput(
            f"{where}: {BOXES} has shape {list(boxes.shape)} and {CLASSES} {list(classes.shape)} {classes.dtype}",
            hint=f"({count}, n, 4), and ({count}, n) whole numbers, -1 where a sample has fewer boxes",
        )
    truths = np.empty(count, object)
    for at in range(count):
        real = classes[at] >= 0
        truths[at] = {"boxes": boxes[at][real], "classes": classes[at][real].tolist()}
    return truths
