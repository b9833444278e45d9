"""Guesses what a model is for, from its outputs, its names and LiteRT metadata.

A guess is a convenience that says its reason; --task overrides it. Where nothing
speaks for a task it is "scores", which compares all outputs as plain numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from protocol.messages.contract import TaskDeclaration
from publisher.learning.tasks.outputs import Hints, SeenModel, SeenOutput

DETECTION_ROLES: Final = ("boxes", "classes", "scores", "count")
ROWS_MIN: Final = 300  # of a detector's single output
ROW_VALUES_MIN: Final = 6  # a box, objectness, a class
ANCHORS_MIN: Final = 50
PICTURE_MIN: Final = 8  # pixels of a side: smaller ones are features
MASK_CLASSES_MAX: Final = 256
EMBEDDING_MIN: Final = 32  # values; fewer are a regression
POINT_NAMES: Final = ("landmark", "keypoint", "pose", "ld_21", "ld_3d")
CLASS_NAMES: Final = ("prob", "softmax", "logit", "class", "categor")
EMBEDDING_NAMES: Final = ("embed", "feature", "descriptor")


@dataclass(frozen=True, slots=True)
class Guess:
    """`roles`: one for each output, or none."""

    task: TaskDeclaration
    roles: tuple[str, ...] = ()


def guess(model: SeenModel) -> Guess:
    """The first rule that fits."""
    for rule in RULES:
        if found := rule(model):
            return found
    return _guess("scores", "", "nothing about its outputs speaks for another task")


def finished_boxes(model: SeenModel) -> Guess | None:
    """Four outputs of boxes, two rows and a count, in whichever order."""
    if len(model.outputs) not in {3, 4}:
        return None
    boxes = [at for at, each in enumerate(model.outputs) if len(each.row) == 2 and each.row[1] == 4]
    rows = [at for at, each in enumerate(model.outputs) if len(each.row) == 1 and each.row != (1,)]
    if len(boxes) != 1 or len(rows) != 2:
        return None
    scores = _scores_of(rows, model.outputs)
    roles = ["count"] * len(model.outputs)
    roles[boxes[0]], roles[rows[0]], roles[rows[1]] = "boxes", "classes", "classes"
    roles[scores] = "scores"
    return _guess("detection", "boxes", "it gives boxes of four, and a class and a score for each", roles)


def _scores_of(rows: Sequence[int], outputs: Sequence[SeenOutput]) -> int:
    """Which of two rows are scores: by values, by names, else as the standard op."""
    first, second = (outputs[at] for at in rows)
    if first.in_unit_range and not first.whole and not (second.in_unit_range and not second.whole):
        return rows[0]
    if not first.named("score", "prob") or second.named("score", "prob"):
        return rows[1]  # TFLite_Detection_PostProcess: boxes, classes, scores, count
    return rows[0]


def rows_of_boxes(model: SeenModel) -> Guess | None:
    if len(model.outputs) != 1 or len(model.outputs[0].row) != 2:
        return None
    many, few = max(model.outputs[0].row), min(model.outputs[0].row)
    if many < ROWS_MIN or few < ROW_VALUES_MIN or many < 4 * few or not model.takes_picture:
        return None
    return _guess("detection", "rows", f"its output has {many} rows of {few} values for a picture", ["rows"])


def anchors(model: SeenModel) -> Guess | None:
    if len(model.outputs) != 2 or any(len(each.row) != 2 for each in model.outputs):
        return None
    if model.outputs[0].row[0] != model.outputs[1].row[0] or model.outputs[0].row[0] < ANCHORS_MIN:
        return None
    scores = 0 if model.outputs[0].row[1] < model.outputs[1].row[1] or model.outputs[0].named("classif", "score") else 1
    if model.outputs[1 - scores].row[1] < 4:
        return None
    roles = ["boxes", "boxes"]
    roles[scores] = "scores"
    count, code, classes = model.outputs[0].row[0], model.outputs[1 - scores].row[1], model.outputs[scores].row[1]
    reason = f"it gives {code} values and {classes} scores for each of {count} anchors"
    return _guess("detection", "anchors", reason, roles, threshold=0.5 if model.outputs[scores].in_unit_range else 0.0)


def points(model: SeenModel) -> Guess | None:
    name = model.hints.file_name.lower()
    first = model.outputs[0]
    if len(model.outputs) == 1 and len(first.row) >= 2 and first.row[-2:] == (17, 3):
        return _guess("keypoints", "scored", "it gives 17 points of y, x and score, as MoveNet does", ["points"])
    if not (any(word in name for word in POINT_NAMES) or any(each.named(*POINT_NAMES) for each in model.outputs)):
        return None
    sizes = [_values(each.row) for each in model.outputs]
    lists = [at for at, each in enumerate(model.outputs) if _is_list(each.row) and sizes[at] >= 4]
    found = [at for at in lists if sizes[at] % 2 == 0 or sizes[at] % 3 == 0]
    if not found:
        return None
    at = max(found, key=lambda index: sizes[index])
    roles = [""] * len(model.outputs)
    roles[at] = "points"
    flags = [index for index, size in enumerate(sizes) if size == 1]
    if flags and model.outputs[flags[0]].in_unit_range:
        roles[flags[0]] = "presence"
    return _guess("keypoints", "2d" if sizes[at] % 3 else "3d", "its name says that it finds points", roles)


def masks(model: SeenModel) -> Guess | None:
    if len(model.outputs) != 1 or not model.takes_picture:
        return None
    row = model.outputs[0].row
    if len(row) == 2 and model.outputs[0].dtype.startswith(("int", "uint")) and min(row) >= PICTURE_MIN:
        return _guess("segmentation", "mask", "it gives a whole number for each pixel", ["mask"])
    if len(row) != 3 or 0 <= min(row[:2]) < PICTURE_MIN or not 0 < row[2] <= MASK_CLASSES_MAX:
        return None
    if row[2] == model.input_row[-1]:
        return None  # a picture again
    if row[2] > 1:
        return _guess("segmentation", "scores", f"it gives {row[2]} scores for each pixel", ["mask"])
    if model.outputs[0].in_unit_range:
        return _guess("segmentation", "sigmoid", "it gives one score (0-1) for each pixel", ["mask"])
    return None


def vector(model: SeenModel) -> Guess | None:
    """A single output of one dimension: classes, an embedding, or values."""
    if len(model.outputs) != 1 or not _is_list(model.outputs[0].row):
        return None
    output, size = model.outputs[0], _values(model.outputs[0].row)
    if size < 1:
        return None
    if size == 1:
        return _single(output, model.hints)
    if output.adds_up_to_one:
        return _guess("classification", "softmax", f"its {size} outputs are shares that add up to 1")
    if model.hints.classes or model.hints.labels == size or output.named(*CLASS_NAMES):
        why = "the data has classes" if model.hints.classes else f"its {size} outputs are named as classes are"
        why = f"there are {size} labels for its {size} outputs" if model.hints.labels == size else why
        several = output.in_unit_range and not model.hints.classes
        return _guess("classification", "multi_label" if several else "softmax", why)
    if output.in_unit_range and model.hints.may_be_sigmoids:
        return _guess("classification", "multi_label", f"its {size} outputs are each within 0 and 1")
    if output.named(*EMBEDDING_NAMES) or size >= EMBEDDING_MIN:
        return _guess("embedding", "", f"it gives {size} values that are no shares")
    return _guess("regression", "", f"it gives {size} values that are no shares")


def _single(output: SeenOutput, hints: Hints) -> Guess:
    if hints.classes or hints.labels in {1, 2} or (output.in_unit_range and hints.may_be_sigmoids):
        why = "its one output is within 0 and 1" if output.in_unit_range else "its data or labels are of classes"
        return _guess("classification", "sigmoid", why, threshold=0.5 if output.in_unit_range else 0.0)
    return _guess("regression", "", "it gives one value")


def classes_and_more(model: SeenModel) -> Guess | None:
    """Several outputs, of which exactly one is shares, or as long as the labels."""
    if len(model.outputs) < 2:
        return None
    shares = [at for at, each in enumerate(model.outputs) if _values(each.row) > 1 and each.adds_up_to_one]
    named = [
        at
        for at, each in enumerate(model.outputs)
        if model.hints.labels > 1 and _values(each.row) == model.hints.labels
    ]
    for candidates, why in (
        (shares, "one of its outputs is shares that add up to 1"),
        (named, "one has the labels"),
    ):
        if len(candidates) == 1:
            roles = ["scores" if at == candidates[0] else "" for at in range(len(model.outputs))]
            form = "softmax" if model.outputs[candidates[0]].adds_up_to_one else "multi_label"
            return _guess("classification", form, why, roles)
    return None


RULES: Final[tuple[Callable[[SeenModel], Guess | None], ...]] = (
    finished_boxes,
    points,
    rows_of_boxes,
    anchors,
    masks,
    vector,
    classes_and_more,
)


def _guess(name: str, form: str, reason: str, roles: Sequence[str] = (), threshold: float | None = None) -> Guess:
    return Guess(TaskDeclaration(name=name, form=form, threshold=threshold, reason=f"guessed: {reason}"), tuple(roles))


def _is_list(row: Sequence[int]) -> bool:
    return _values(row) == max(row, default=1)


def _values(row: Sequence[int]) -> int:
    product = 1
    for size in row:
        product *= size
    return product
