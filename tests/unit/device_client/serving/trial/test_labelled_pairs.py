"""Answers and label of an input may come in any order, and are kept within bounds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from device_client.serving.prediction import KeptAnswer
from device_client.serving.trial.labelled_pairs import PAIRS_MAX, PAIRS_MAX_BYTES, FittedPair, LabelledPairs


def fit(answer: KeptAnswer, truth: int) -> float:
    return float(answer.top == truth)


@pytest.mark.parametrize("order", [("live", "shadow", "label"), ("live", "label", "shadow")])
def test_whichever_comes_last_completes_the_pair_once(order: tuple[str, ...]) -> None:
    pairs = LabelledPairs(fit)
    found: list[FittedPair | None] = []
    for each in order:
        if each == "live":
            pairs.add(1, KeptAnswer(3))
        elif each == "shadow":
            found.append(pairs.answer(1, KeptAnswer(4), (3,), (4,)))
        else:
            found.append(pairs.label(1, 3))
    assert found == [None, FittedPair(1.0, 0.0, (3,), (4,))]
    assert pairs.label(1, 3) is None


def test_what_was_not_sampled_is_not_compared() -> None:
    pairs = LabelledPairs(fit)
    assert pairs.label(1, 3) is None
    assert pairs.answer(1, KeptAnswer(3), (3,), (3,)) is None


def test_the_oldest_go_when_there_are_too_many_or_they_are_too_large() -> None:
    pairs = LabelledPairs(fit)
    for id_ in range(PAIRS_MAX + 1):
        pairs.add(id_, KeptAnswer(0))
    assert pairs.answer(0, KeptAnswer(0), (), ()) is None
    pairs.answer(1, KeptAnswer(0), (), ())
    assert pairs.label(1, 0) is not None
    large = LabelledPairs(fit)
    outputs = (np.zeros(PAIRS_MAX_BYTES // 4, np.uint8),)
    for id_ in range(6):
        large.add(id_, KeptAnswer(0, outputs))
    known = [large.label(id_, 0) is None and large.answer(id_, KeptAnswer(0), (), ()) is not None for id_ in range(6)]
    assert known == list(itertools.repeat(False, 2)) + list(itertools.repeat(True, 4))
