"""A prediction is found by its id while it is recent, and its label is counted once."""

from __future__ import annotations

import numpy as np
import pytest

from device_client.serving.feedback_counter import FeedbackCounter
from device_client.serving.prediction import AnswerFormat, Prediction
from device_client.serving.recent_predictions import LARGE_MAX, PREDICTIONS_MAX, RecentPredictions
from protocol.errors import BadInput
from protocol.messages.contract import Contract, TaskDeclaration, Tensor

COUNTER = FeedbackCounter("1.0.0", "int8", now_s=0.0)
OUTPUT = np.zeros(3, np.float32)


def a_format(task: str, *shape: int) -> AnswerFormat:
    tensor = Tensor(name="out", shape=(1, *shape))
    return AnswerFormat(Contract(inputs=(tensor,), outputs=(tensor,), task=TaskDeclaration(name=task)))


CLASSES = a_format("classification", 3)


def a_prediction(id_: int) -> Prediction:
    return Prediction(OUTPUT, (OUTPUT,), 2, 0.9, None, "1.0.0", "int8", id_, counter=COUNTER, form=CLASSES)


def test_the_latest_are_found_by_id_and_older_ones_by_the_prediction_alone() -> None:
    recent = RecentPredictions()
    ids = [recent.next_id() for _ in range(PREDICTIONS_MAX + 1)]
    for id_ in ids:
        recent.add(id_, 2, (OUTPUT,), CLASSES, COUNTER)
    assert recent.find(ids[0]) is None
    found = [recent.find(id_) for id_ in ids[1:]]
    assert [(each.id, each.top, each.outputs) for each in found if each] == [(id_, 2, None) for id_ in ids[1:]]
    old = recent.find(a_prediction(ids[0]))
    assert old is not None
    assert (old.id, old.fit(2), old.fit(1)) == (ids[0], 1.0, 0.0)


def test_labelling_an_old_prediction_does_not_drop_a_newer_one_in_its_place() -> None:
    recent = RecentPredictions()
    recent.add(PREDICTIONS_MAX + 1, 2, (OUTPUT,), CLASSES, COUNTER)
    recent.drop(1)
    assert recent.find(PREDICTIONS_MAX + 1) is not None
    recent.drop(PREDICTIONS_MAX + 1)
    assert recent.find(PREDICTIONS_MAX + 1) is None


def test_an_answer_that_is_more_than_a_class_is_kept_whatever_becomes_of_its_array() -> None:
    recent, form = RecentPredictions(), a_format("regression", 3)
    output = np.array([1.0, 2.0, 3.0], np.float32)
    recent.add(1, None, (output,), form, COUNTER)
    output[:] = 0.0
    found = recent.find(1)
    assert found is not None
    assert found.fit(np.array([1.0, 2.0, 3.0])) == 1.0


@pytest.mark.parametrize(("values", "latest"), [(10, LARGE_MAX + 1), (1_000, LARGE_MAX), (100_000, 0)])
def test_of_large_answers_fewer_are_kept(values: int, latest: int) -> None:
    recent, form = RecentPredictions(), a_format("regression", values)
    for id_ in range(1, LARGE_MAX + 2):
        recent.add(id_, None, (np.zeros(values, np.float32),), form, COUNTER)
    assert sum(recent.find(id_) is not None for id_ in range(1, LARGE_MAX + 2)) == latest


@pytest.mark.parametrize("given", [None, "7", 3.0, object()])
def test_what_is_no_prediction_is_refused(given: object) -> None:
    with pytest.raises(BadInput):
        RecentPredictions().find(given)
