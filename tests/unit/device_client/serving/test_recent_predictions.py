"""A prediction is found by its id while it is recent, and its label is counted once."""

from __future__ import annotations

import numpy as np
import pytest

from device_client.serving.feedback_counter import FeedbackCounter
from device_client.serving.prediction import Prediction
from device_client.serving.recent_predictions import PREDICTIONS_MAX, RecentPredictions
from protocol.errors import BadInput

COUNTER = FeedbackCounter("1.0.0", "int8", now_s=0.0)
OUTPUT = np.zeros(3, np.float32)


def a_prediction(id_: int) -> Prediction:
    return Prediction(OUTPUT, (OUTPUT,), 2, 0.9, None, "1.0.0", "int8", id_, counter=COUNTER)


def test_the_latest_are_found_by_id_and_older_ones_by_the_prediction_alone() -> None:
    recent = RecentPredictions()
    ids = [recent.next_id() for _ in range(PREDICTIONS_MAX + 1)]
    for id_ in ids:
        recent.add(id_, 2, COUNTER)
    assert recent.find(ids[0]) is None
    assert [recent.find(id_) for id_ in ids[1:]] == [(id_, 2, COUNTER) for id_ in ids[1:]]
    assert recent.find(a_prediction(ids[0])) == (ids[0], 2, COUNTER)


def test_labelling_an_old_prediction_does_not_drop_a_newer_one_in_its_place() -> None:
    recent = RecentPredictions()
    recent.add(PREDICTIONS_MAX + 1, 2, COUNTER)
    recent.drop(1)
    assert recent.find(PREDICTIONS_MAX + 1) is not None
    recent.drop(PREDICTIONS_MAX + 1)
    assert recent.find(PREDICTIONS_MAX + 1) is None


@pytest.mark.parametrize("given", [None, "7", 3.0, object()])
def test_what_is_no_prediction_is_refused(given: object) -> None:
    with pytest.raises(BadInput):
        RecentPredictions().find(given)
