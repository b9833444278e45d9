"""Boxes with classes: what is where in a picture.

Forms:
boxes: finished boxes, as of TFLite_Detection_PostProcess. Roles: boxes (n, 4) as two
corners, scores (n,), and if given classes (n,) and count.
rows: one output (n, 5 + classes) of centre, size, objectness and class scores, as of
YOLOv5; or of (4 + classes, n), as of YOLOv8, which has no objectness.
anchors: for each anchor a box in a code of its own and scores, as of SSD heads and
BlazeFace. Roles: boxes (n, code), scores (n, classes). Nothing is decoded.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from protocol.errors import BadInput
from protocol.messages.contract import FREE, Contract
from protocol.tasks.boxes import Found, f1, from_centres, mean_average_precision, surest
from protocol.tasks.classification import GROUPS_MAX
from protocol.tasks.outputs import Others, closeness, has_role, role_index, spread_of
from protocol.tasks.task import NO_GROUP, Array, Outputs, Task
from protocol.tasks.truths import class_index, real_values

THRESHOLD: Final = 0.5
FOUND_FROM: Final = 0.05  # scores of boxes that a figure looks at: recall needs the unsure ones too


@dataclass(frozen=True, slots=True)
class DetectionAnswer:
    """`boxes` (n, 4) in the model's own order of corners, the surest first."""

    boxes: Array
    classes: Array
    scores: Array


class _Detection(ABC):
    name = "detection"
    measure = "mAP at IoU 0.5"

    def __init__(self, contract: Contract) -> None:
        declared = contract.task.threshold if contract.task else None
        self._threshold = THRESHOLD if declared is None else declared

    @abstractmethod
    def found(self, outputs: Outputs, threshold: float) -> Found:
        """The boxes whose score is at least the threshold."""

    def answer(self, outputs: Outputs) -> DetectionAnswer:
        found = self.found(outputs, self._threshold)
        return DetectionAnswer(found.boxes, found.classes, found.scores)

    def top(self, outputs: Outputs) -> tuple[int | None, float | None]:
        found = self.found(outputs, self._threshold)
        if not len(found.scores):
            return None, None
        share = float(found.scores[0])
        return int(found.classes[0]), share if 0.0 <= share <= 1.0 else None

    def groups(self, outputs: Outputs) -> tuple[int, ...]:
        classes = dict.fromkeys(int(each) for each in self.found(outputs, self._threshold).classes)
        return tuple(classes)[:GROUPS_MAX] or (NO_GROUP,)

    def truth(self, given: Any, labels: Sequence[str]) -> Found:
        """{"boxes": (n, 4), "classes": n numbers or names}. Raises BadInput."""
        if not isinstance(given, dict) or set(given) - {"boxes", "classes"} or "boxes" not in given:
            raise BadInput('the truth of a detection is {"boxes": [[…], …], "classes": […]}')
        boxes = real_values(given["boxes"]).reshape(-1, 4) if np.size(given["boxes"]) % 4 == 0 else None
        if boxes is None:
            raise BadInput(f"the true boxes have {np.size(given['boxes'])} numbers, and a box has four")
        classes = [class_index(each, labels, 2**31) for each in given.get("classes", [0] * len(boxes))]
        if len(classes) != len(boxes):
            raise BadInput(f"the truth has {len(boxes)} boxes and {len(classes)} classes")
        return Found(boxes, np.asarray(classes, np.int64), np.ones(len(boxes)))

    def fit(self, outputs: Outputs, truth: Found) -> float:
        """F1 at IoU 0.5 of the boxes from the threshold on."""
        return f1(truth, self.found(outputs, self._threshold))

    def alike(self, ours: Outputs, theirs: Outputs) -> float:
        return f1(self.found(ours, self._threshold), self.found(theirs, self._threshold))

    def figure(self, answers: Sequence[Outputs], truths: Sequence[Found]) -> float:
        least = min(FOUND_FROM, self._threshold)
        return mean_average_precision([self.found(each, least) for each in answers], list(truths))


class FinishedBoxes(_Detection):
    """Form "boxes"."""

    def __init__(self, contract: Contract) -> None:
        super().__init__(contract)
        self._boxes, self._scores = role_index(contract, "boxes", 0), role_index(contract, "scores", 2)
        self._classes = role_index(contract, "classes") if has_role(contract, "classes") else None
        self._count = role_index(contract, "count") if has_role(contract, "count") else None
        read = {self._boxes, self._scores, self._classes, self._count} - {None}
        self._others = Others(contract.outputs, frozenset(at for at in read if at is not None))

    def found(self, outputs: Outputs, threshold: float) -> Found:
        scores = outputs[self._scores].ravel()
        boxes = outputs[self._boxes].reshape(-1, 4)
        classes = np.zeros(len(scores)) if self._classes is None else outputs[self._classes].ravel()
        count = min(len(scores), len(boxes), len(classes))
        if self._count is not None and outputs[self._count].size:
            count = max(0, min(count, round(float(outputs[self._count].item(0)))))
        at = np.flatnonzero(scores[:count] >= threshold)
        return surest(Found(boxes[at], np.rint(classes[at]).astype(np.int64), scores[at]), suppress=False)

    def alike(self, ours: Outputs, theirs: Outputs) -> float:
        return min(super().alike(ours, theirs), self._others.alike(ours, theirs))


class RowBoxes(_Detection):
    """Form "rows"."""

    def __init__(self, contract: Contract) -> None:
        super().__init__(contract)
        self._at = role_index(contract, "rows")
        self._in_columns = _in_columns(contract.row_shape(contract.outputs[self._at]))
        self._others = Others(contract.outputs, frozenset({self._at}))

    def found(self, outputs: Outputs, threshold: float) -> Found:
        rows = outputs[self._at]
        rows = rows.reshape(-1, rows.shape[-1]) if rows.ndim != 2 else rows
        if self._in_columns:
            rows = rows.T
            scores = rows[:, 4:]
        else:
            scores = rows[:, 4:5] * rows[:, 5:] if rows.shape[1] > 5 else rows[:, 4:]
        classes = scores.argmax(axis=1)
        best = np.take_along_axis(scores, classes[:, None], axis=1)[:, 0]
        at = np.flatnonzero(best >= threshold)
        found = Found(from_centres(rows[at, :4]), classes[at].astype(np.int64), best[at])
        return surest(found, suppress=True)

    def alike(self, ours: Outputs, theirs: Outputs) -> float:
        return min(super().alike(ours, theirs), self._others.alike(ours, theirs))


def _in_columns(row: Sequence[int]) -> bool:
    """Whether each box is a column: as declared, since an output may have few rows."""
    ahead = row[:-1]
    return row[-1] == FREE or (FREE not in ahead and math.prod(ahead) < row[-1])


class AnchorBoxes(_Detection):
    """Form "anchors": two answers are compared anchor by anchor."""

    measure = "F1 by anchor"

    def __init__(self, contract: Contract) -> None:
        super().__init__(contract)
        self._boxes, self._scores = role_index(contract, "boxes", 0), role_index(contract, "scores", 1)
        self._spread = spread_of(contract.outputs[self._boxes])
        self._others = Others(contract.outputs, frozenset({self._boxes, self._scores}))

    def found(self, outputs: Outputs, threshold: float) -> Found:
        classes, best = self._best(outputs)
        at = np.flatnonzero(best >= threshold)
        boxes = outputs[self._boxes].reshape(len(best), -1)
        return surest(Found(boxes[at], classes[at], best[at]), suppress=False)

    def truth(self, given: Any, labels: Sequence[str]) -> Found:
        raise BadInput(
            "raw boxes of anchors have no truth in the picture",
            hint="label what your own code makes of them, or do not",
        )

    def fit(self, outputs: Outputs, truth: Found) -> float:
        return 0.0

    def figure(self, answers: Sequence[Outputs], truths: Sequence[Found]) -> float:
        return 0.0

    def alike(self, ours: Outputs, theirs: Outputs) -> float:
        return min(self._same_anchors(ours, theirs), self._others.alike(ours, theirs))

    def _same_anchors(self, ours: Outputs, theirs: Outputs) -> float:
        """F1 over the anchors that fire, each hit weighed by how close its box is."""
        our_classes, our_best = self._best(ours)
        their_classes, their_best = self._best(theirs)
        if our_best.shape != their_best.shape:
            return 0.0
        we, they = our_best >= self._threshold, their_best >= self._threshold
        total = int(we.sum()) + int(they.sum())
        if not total:
            return 1.0
        both = np.flatnonzero(we & they & (our_classes == their_classes))
        our_boxes = ours[self._boxes].reshape(len(we), -1)[both]
        their_boxes = theirs[self._boxes].reshape(len(we), -1)[both]
        close = sum(closeness(a, b, self._spread) for a, b in zip(our_boxes, their_boxes, strict=True))
        return 2.0 * close / total

    def _best(self, outputs: Outputs) -> tuple[Array, Array]:
        anchors = outputs[self._boxes].shape[-2] if outputs[self._boxes].ndim > 1 else 1
        scores = outputs[self._scores].reshape(anchors, -1)
        classes = scores.argmax(axis=1)
        return classes.astype(np.int64), np.take_along_axis(scores, classes[:, None], axis=1)[:, 0]


FORMS: Final[dict[str, Callable[[Contract], Task]]] = {"boxes": FinishedBoxes, "rows": RowBoxes, "anchors": AnchorBoxes}


def detection(contract: Contract) -> Task:
    """The declared form; without one: a single output is of rows."""
    form = contract.task.form if contract.task else ""
    return FORMS.get(form, RowBoxes if len(contract.outputs) == 1 else FinishedBoxes)(contract)
