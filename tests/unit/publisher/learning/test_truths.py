"""Truths of every task in a user's data; the first that is none is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from protocol.errors import BadInput
from protocol.messages.contract import Contract, TaskDeclaration, Tensor
from publisher.learning.data.truths import check_truths, classes_of, read_truths


def a_contract(task: str, *shape: int) -> Contract:
    return Contract(
        inputs=(Tensor(name="x", shape=(1, 4)),),
        outputs=(Tensor(name="y", shape=shape),),
        task=TaskDeclaration(name=task),
    )


def test_whole_numbers_are_classes_and_others_are_not() -> None:
    assert classes_of(np.array([1, 2])) is not None
    assert classes_of(np.array([1.0, 2.0])) is None
    assert classes_of(np.zeros((2, 3), int)) is None
    assert classes_of(None) is None


def test_boxes_of_each_sample_are_read_without_the_filling() -> None:
    arrays = {"y_boxes": np.zeros((2, 3, 4)), "y_classes": np.array([[1, 2, -1], [-1, -1, -1]])}
    truths = read_truths(arrays, 2, "data.npz")
    assert truths is not None
    found = check_truths(truths, a_contract("detection", 1, 400, 8), (), "data.npz")
    assert [len(each.classes) for each in found] == [2, 0]


@pytest.mark.parametrize(
    "arrays",
    [
        {"y": np.zeros(3)},
        {"y": np.array(1.0)},
        {"y_boxes": np.zeros((2, 3, 4))},
        {"y_boxes": np.zeros((2, 3, 4)), "y_classes": np.zeros((2, 2), int)},
        {"y_boxes": np.zeros((2, 3, 4)), "y_classes": np.zeros((2, 3))},
    ],
)
def test_truths_that_do_not_fit_the_samples_are_refused(arrays: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"data\.npz"):
        read_truths(arrays, 2, "data.npz")


def test_the_first_truth_that_is_none_is_named_with_the_task() -> None:
    with pytest.raises(BadInput, match=r"data\.npz: sample 1: .*12.* not between 0 and 9") as refused:
        check_truths(np.array([3, 12]), a_contract("classification", 1, 10), (), "data.npz")
    assert "--task" in (refused.value.hint or "")


def test_kinds_of_an_embedding_and_rows_of_several_classes_are_truths() -> None:
    assert check_truths(np.array([0, 1, 0]), a_contract("embedding", 1, 64), (), "d") == [0, 1, 0]
    several = a_contract("classification", 1, 3).model_copy(
        update={"task": TaskDeclaration(name="classification", form="multi_label")}
    )
    assert check_truths(np.array([[0, 1, 1], [0, 0, 0]]), several, (), "d") == [{1, 2}, frozenset()]
