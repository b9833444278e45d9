"""Boxes (n, 4) as two corners: overlap, suppression of doubles, matching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from protocol.tasks.task import Array

IOU: Final = 0.5  # from which two boxes are of the same thing
FOUND_MAX: Final = 300  # of one picture: the surest


@dataclass(frozen=True, slots=True)
class Found:
    """`boxes` (n, 4) corners, `classes` (n,) int, `scores` (n,), the surest first."""

    boxes: Array
    classes: Array
    scores: Array


def from_centres(boxes: Array) -> Array:
    """Corners of boxes given by centre and size."""
    half = boxes[:, 2:] / 2
    corners: Array = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
    return corners


def overlaps(ours: Array, theirs: Array) -> Array:
    """Intersection over union of each pair, (len(ours), len(theirs))."""
    low = np.maximum(ours[:, None, :2], theirs[None, :, :2])
    high = np.minimum(ours[:, None, 2:], theirs[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0.0, None), axis=2)
    union = _areas(ours)[:, None] + _areas(theirs)[None] - shared
    overlap: Array = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlap


def surest(found: Found, *, suppress: bool) -> Found:
    """At most FOUND_MAX; with `suppress` one of those of a class that overlap."""
    order = np.argsort(-found.scores, kind="stable")
    kept: list[int] = []
    while len(order) and len(kept) < FOUND_MAX:
        first, order = int(order[0]), order[1:]
        kept.append(first)
        if suppress and len(order):
            overlap = overlaps(found.boxes[first : first + 1], found.boxes[order])[0]
            order = order[(overlap < IOU) | (found.classes[order] != found.classes[first])]
    at = np.asarray(kept, np.intp)
    return Found(found.boxes[at], found.classes[at], found.scores[at])


def matched(ours: Found, theirs: Found) -> int:
    """How many boxes find a box of their class in the other, each once."""
    if not len(ours.scores) or not len(theirs.scores):
        return 0
    overlap = overlaps(ours.boxes, theirs.boxes)
    overlap[ours.classes[:, None] != theirs.classes[None]] = 0.0
    count = 0
    for _ in range(min(overlap.shape)):
        at = np.unravel_index(int(overlap.argmax()), overlap.shape)
        if overlap[at] < IOU:
            break
        overlap[at[0], :] = overlap[:, at[1]] = 0.0
        count += 1
    return count


def f1(ours: Found, theirs: Found) -> float:
    """2 x matched over all boxes of both; 1 where neither has any."""
    total = len(ours.scores) + len(theirs.scores)
    return 2.0 * matched(ours, theirs) / total if total else 1.0


def mean_average_precision(answers: list[Found], truths: list[Found]) -> float:
    """mAP at IoU 0.5, by the area under each class's precision and recall.

    Everingham et al., "The PASCAL visual object classes challenge", IJCV 88 (2010), in
    the form used from 2010 on: precision made monotone, all points.
    """
    classes = sorted({int(each) for truth in truths for each in truth.classes})
    if not classes:
        return float(all(len(each.scores) == 0 for each in answers))
    return float(np.mean([_average_precision(answers, truths, each) for each in classes]))


def _average_precision(answers: list[Found], truths: list[Found], class_: int) -> float:
    scores: list[float] = []
    right: list[bool] = []
    true_count = 0
    for answer, truth in zip(answers, truths, strict=True):
        wanted = truth.boxes[truth.classes == class_]
        true_count += len(wanted)
        free = np.ones(len(wanted), bool)
        for at in np.flatnonzero(answer.classes == class_):
            overlap = overlaps(answer.boxes[at : at + 1], wanted)[0] * free if len(wanted) else np.zeros(0)
            best = int(overlap.argmax()) if len(overlap) else -1
            hit = best >= 0 and overlap[best] >= IOU
            if hit:
                free[best] = False
            scores.append(float(answer.scores[at]))
            right.append(bool(hit))
    if not scores:
        return 0.0
    hits = np.cumsum(np.asarray(right)[np.argsort(-np.asarray(scores), kind="stable")])
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    recall = hits / true_count
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def _areas(boxes: Array) -> Array:
    areas: Array = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None), axis=1)
    return areas
