"""A class for each pixel.

Forms: scores (height, width, classes), of which the largest decides; mask (height,
width), the classes themselves; sigmoid (height, width[, 1]), class 1 from the
threshold on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from protocol.errors import BadInput
from protocol.messages.contract import Contract
from protocol.tasks.outputs import Others, role_index
from protocol.tasks.task import Array, Outputs

THRESHOLD: Final = 0.5
GROUP_SHARE: Final = 0.01  # of the pixels, from which a class is part of the answer
CLASSES_MAX: Final = 1_024


@dataclass(frozen=True, slots=True)
class SegmentationAnswer:
    """`mask` (height, width) int: the class of each pixel."""

    mask: Array


class Segmentation:
    """mIoU: intersection over union of each class, averaged over the classes.

    Source: Everingham et al., "The PASCAL visual object classes challenge", IJCV 88
    (2010). Between two answers the classes of either count.
    """

    name = "segmentation"
    measure = "mIoU"

    def __init__(self, contract: Contract) -> None:
        self._at = role_index(contract, "mask")
        tensor = contract.outputs[self._at]
        declared = contract.task
        self._form = (declared.form if declared else "") or _form(tensor.shape, tensor.dtype)
        threshold = declared.threshold if declared else None
        self._threshold = THRESHOLD if threshold is None else threshold
        self._others = Others(contract.outputs, frozenset({self._at}))

    def answer(self, outputs: Outputs) -> SegmentationAnswer:
        return SegmentationAnswer(self._mask(outputs))

    def top(self, outputs: Outputs) -> tuple[int | None, float | None]:
        """The class of most pixels; a share of pixels is no confidence."""
        return int(np.bincount(self._mask(outputs).ravel(), minlength=1).argmax()), None

    def groups(self, outputs: Outputs) -> tuple[int, ...]:
        mask = self._mask(outputs)
        counts = np.bincount(mask.ravel(), minlength=1)
        return tuple(int(at) for at in np.flatnonzero(counts >= max(1.0, GROUP_SHARE * mask.size)))

    def truth(self, given: Any, labels: Sequence[str]) -> Array:
        """(height, width) whole numbers; negative: this pixel does not count."""
        mask = np.asarray(given)
        if mask.ndim != 2 or mask.dtype.kind not in "iub":
            raise BadInput(
                f"the truth of a segmentation is (height, width) whole numbers, not {mask.shape} {mask.dtype}"
            )
        return mask.astype(np.int64)

    def fit(self, outputs: Outputs, truth: Array) -> float:
        return _mean_iou(*_counts(truth, self._mask(outputs)))

    def alike(self, ours: Outputs, theirs: Outputs) -> float:
        alike = _mean_iou(*_counts(self._mask(ours), self._mask(theirs)))
        return min(alike, self._others.alike(ours, theirs))

    def figure(self, answers: Sequence[Outputs], truths: Sequence[Array]) -> float:
        shared, either = np.zeros(CLASSES_MAX), np.zeros(CLASSES_MAX)
        for outputs, truth in zip(answers, truths, strict=True):
            both, any_ = _counts(truth, self._mask(outputs))
            shared += both
            either += any_
        return _mean_iou(shared, either)

    def _mask(self, outputs: Outputs) -> Array:
        output = outputs[self._at]
        if self._form == "scores":
            mask: Array = output.argmax(axis=-1)
        elif self._form == "sigmoid":
            mask = (output[..., 0] if output.ndim == 3 else output) >= self._threshold
        else:
            mask = np.rint(output[..., 0] if output.ndim == 3 else output)
        return np.clip(mask.astype(np.int64), 0, CLASSES_MAX - 1)


def _form(shape: tuple[int, ...], dtype: str) -> str:
    if np.dtype(dtype).kind in "iu" and (len(shape) == 3 or shape[-1] == 1):
        return "mask"
    return "scores" if len(shape) == 4 and shape[-1] > 1 else "sigmoid"


def _counts(truth: Array, mask: Array) -> tuple[Array, Array]:
    """Pixels of each class (CLASSES_MAX,): in both, and in either."""
    if truth.shape != mask.shape:
        return np.zeros(CLASSES_MAX), np.bincount([0], minlength=CLASSES_MAX).astype(np.float64)
    known = truth >= 0
    true, given = np.clip(truth[known], 0, CLASSES_MAX - 1), mask[known]
    both = np.bincount(true[true == given], minlength=CLASSES_MAX)
    either = np.bincount(true, minlength=CLASSES_MAX) + np.bincount(given, minlength=CLASSES_MAX) - both
    return both.astype(np.float64), either.astype(np.float64)


def _mean_iou(shared: Array, either: Array) -> float:
    seen = either > 0
    return float((shared[seen] / either[seen]).mean()) if seen.any() else 1.0
