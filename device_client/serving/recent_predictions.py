"""The recent predictions of classes, by id, so that a later label can be counted."""

from __future__ import annotations

import itertools
from typing import Final, NamedTuple

import numpy as np

from device_client.serving.feedback_counter import FeedbackCounter
from device_client.serving.prediction import Prediction
from protocol.errors import BadInput

PREDICTIONS_MAX: Final = 8_192  # that can be labelled by their id alone


class ChosenClass(NamedTuple):
    """The class of a prediction, and its label's counter. A tuple: cheap to make."""

    id: int
    top: int
    counter: FeedbackCounter


class RecentPredictions:
    """A ring of the last few thousand. Needs no lock, as each access is atomic."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._ring: list[ChosenClass | None] = [None] * PREDICTIONS_MAX

    def next_id(self) -> int:
        return next(self._ids)

    def add(self, id_: int, top: int, counter: FeedbackCounter) -> None:
        self._ring[id_ % PREDICTIONS_MAX] = ChosenClass(id_, top, counter)

    def find(self, prediction: object) -> ChosenClass | None:
        """The class of a `Prediction` or recent id; None if unknown, or BadInput."""
        if isinstance(prediction, int | np.integer):
            chosen = self._ring[int(prediction) % PREDICTIONS_MAX]
            return chosen if chosen and chosen.id == prediction else None
        if not isinstance(prediction, Prediction):
            problem = f"{str(prediction)[:100]!r} is no prediction and no id of one"
            raise BadInput(problem, hint="give what predict() returned, or its id")
        if len(prediction.each()) > 1:
            raise BadInput("a batch has many answers", hint="label those of prediction.each() one by one")
        one = prediction.each()[0]
        return None if one.top is None or one.counter is None else ChosenClass(one.id, one.top, one.counter)

    def drop(self, id_: int) -> None:
        """Forget a prediction once it is labelled, so that its id counts only once."""
        chosen = self._ring[id_ % PREDICTIONS_MAX]
        if chosen and chosen.id == id_:
            self._ring[id_ % PREDICTIONS_MAX] = None
