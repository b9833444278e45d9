"""The recent predictions, by id, so that a later label can be counted."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from device_client.adapters.runtime.tflite import Array
from device_client.serving.feedback_counter import FeedbackCounter
from device_client.serving.prediction import AnswerFormat, KeptAnswer, Prediction
from protocol.errors import BadInput

PREDICTIONS_MAX: Final = 8_192  # that can be labelled by their id alone
LARGE_FROM_BYTES: Final = 2_048  # of outputs: of these
LARGE_MAX: Final = 64  # the last can
TOO_LARGE_BYTES: Final = 256 * 1024  # of these, none


class RecentAnswer(NamedTuple):
    """An answer and its label's counter. A tuple: cheap to make."""

    id: int
    top: int | None
    outputs: tuple[Array, ...] | None  # none where the class is all
    form: AnswerFormat
    counter: FeedbackCounter

    def fit(self, truth: Any) -> float:
        return self.form.fit(KeptAnswer(self.top, self.outputs), truth)


class RecentPredictions:
    """A ring of the last few thousand. Needs no lock, as each access is atomic."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._ring: list[RecentAnswer | None] = [None] * PREDICTIONS_MAX
        self._large: list[RecentAnswer | None] = [None] * LARGE_MAX

    def next_id(self) -> int:
        return next(self._ids)

    def add(
        self, id_: int, top: int | None, outputs: Sequence[Array], form: AnswerFormat, counter: FeedbackCounter
    ) -> None:
        if form.decides:
            self._ring[id_ % PREDICTIONS_MAX] = RecentAnswer(id_, top, None, form, counter)
            return
        size_bytes = sum(each.nbytes for each in outputs)
        if size_bytes <= TOO_LARGE_BYTES:  # a larger one only by the prediction itself
            copies = tuple(each.copy() for each in form.real(outputs))
            ring = self._large if size_bytes > LARGE_FROM_BYTES else self._ring
            ring[id_ % len(ring)] = RecentAnswer(id_, top, copies, form, counter)

    def find(self, prediction: object) -> RecentAnswer | None:
        """The answer of a `Prediction` or recent id; None if unknown, or BadInput."""
        if isinstance(prediction, int | np.integer):
            return self._of_id(int(prediction))
        if not isinstance(prediction, Prediction):
            problem = f"{str(prediction)[:100]!r} is no prediction and no id of one"
            raise BadInput(problem, hint="give what predict() returned, or its id")
        if len(prediction.each()) > 1:
            raise BadInput("a batch has many answers", hint="label those of prediction.each() one by one")
        one = prediction.each()[0]
        if one.counter is None or one.form is None:
            return None
        kept = one.form.kept(one.form.real(one.outputs), one.top)
        return RecentAnswer(one.id, kept.top, kept.outputs, one.form, one.counter)

    def drop(self, id_: int) -> None:
        """Forget a prediction once it is labelled, so that its id counts only once."""
        for ring in (self._ring, self._large):
            recent = ring[id_ % len(ring)]
            if recent and recent.id == id_:
                ring[id_ % len(ring)] = None

    def _of_id(self, id_: int) -> RecentAnswer | None:
        return next(
            (each for ring in (self._ring, self._large) if (each := ring[id_ % len(ring)]) and each.id == id_), None
        )
