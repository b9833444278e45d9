"""Points of a body, a hand or a face.

Forms, by what each point has: 2d (x, y), 3d (x, y, z), scored (y, x, score). The output
of the role "points", or else the first, holds them in rows or one after another. An
output of the role "presence" is a score: under the threshold nothing is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from protocol.errors import BadInput
from protocol.messages.contract import Contract
from protocol.tasks.outputs import Others, has_role, role_index, spread_of
from protocol.tasks.task import NO_GROUP, Array, Outputs, mean_fit
from protocol.tasks.truths import real_values

NEAR: Final = 0.1  # of the extent of the points: within it a point is right
NEAR_SPREADS: Final = 0.5  # and of how much a point moves at all, if that is less
THRESHOLD: Final = 0.5
PRESENT: Final = 1
SIZES: Final = {"2d": 2, "3d": 3, "scored": 3}


@dataclass(frozen=True, slots=True)
class KeypointsAnswer:
    """`points` (n, 2 or 3); `scores` (n,) and `presence` where the model has them."""

    points: Array
    scores: Array | None
    presence: float | None


class Keypoints:
    """PCK: the share of points within a tenth of the extent of all points.

    Source: Yang and Ramanan, "Articulated human detection with flexible mixtures of
    parts", IEEE TPAMI 35 (2013), whose measure is the larger side of the box.
    """

    name = "keypoints"
    measure = "PCK at 0.1"

    def __init__(self, contract: Contract) -> None:
        self._at = role_index(contract, "points")
        tensor = contract.outputs[self._at]
        form = contract.task.form if contract.task else ""
        self._size = SIZES.get(form) or (2 if tensor.shape[-1] == 2 or tensor.shape[-1] % 3 else 3)
        self._scored = form == "scored"
        spread = spread_of(tensor)
        self._moves = None if spread is None else float(np.sqrt(np.mean(spread * spread) * 2))
        self._presence = role_index(contract, "presence") if has_role(contract, "presence") else None
        declared = contract.task.threshold if contract.task else None
        self._threshold = THRESHOLD if declared is None else declared
        read = {self._at} if self._presence is None else {self._at, self._presence}
        self._others = Others(contract.outputs, frozenset(read))

    def answer(self, outputs: Outputs) -> KeypointsAnswer:
        rows = outputs[self._at].reshape(-1, self._size)
        presence = None if self._presence is None else float(outputs[self._presence].item(0))
        return KeypointsAnswer(rows[:, :2] if self._scored else rows, rows[:, 2] if self._scored else None, presence)

    def top(self, outputs: Outputs) -> tuple[int | None, float | None]:
        """With presence: 1 there, 0 not, and how sure."""
        if self._presence is None:
            return None, None
        score = float(outputs[self._presence].item(0))
        there = score >= self._threshold
        return int(there), (score if there else 1.0 - score) if 0.0 <= score <= 1.0 else None

    def groups(self, outputs: Outputs) -> tuple[int, ...]:
        return (PRESENT if self._there(outputs) else NO_GROUP,)

    def truth(self, given: Any, labels: Sequence[str]) -> Array:
        """(n, 2) points in the model's order of coordinates. Raises BadInput."""
        points = real_values(given)
        if points.ndim != 2 or points.shape[1] not in {2, self._size}:
            raise BadInput(f"the truth of keypoints is (points, 2), not {points.shape}")
        return points[:, :2]

    def fit(self, outputs: Outputs, truth: Array) -> float:
        return self._near(truth, self._points(outputs)) if self._there(outputs) else 0.0

    def alike(self, ours: Outputs, theirs: Outputs) -> float:
        if self._there(ours) != self._there(theirs):
            return 0.0
        if not self._there(ours):
            return 1.0  # what a model says of points that are not there is noise
        near = self._near(self._points(ours), self._points(theirs))
        return min(near, self._others.alike(ours, theirs))

    def figure(self, answers: Sequence[Outputs], truths: Sequence[Array]) -> float:
        return mean_fit(self, answers, truths)

    def _points(self, outputs: Outputs) -> Array:
        return outputs[self._at].reshape(-1, self._size)[:, :2].astype(np.float64)

    def _there(self, outputs: Outputs) -> bool:
        return self._presence is None or float(outputs[self._presence].item(0)) >= self._threshold

    def _near(self, ours: Array, theirs: Array) -> float:
        if ours.shape != theirs.shape or not ours.size:
            return 0.0
        allowed = NEAR * float(np.ptp(ours, axis=0).max())
        if self._moves is not None:
            allowed = min(allowed, NEAR_SPREADS * self._moves)
        return float((np.linalg.norm(ours - theirs, axis=1) <= allowed).mean())
