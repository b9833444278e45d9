"""A contract without a task is read as before there were tasks."""

from __future__ import annotations

import numpy as np
import pytest

from protocol.messages.contract import Contract, TaskDeclaration, Tensor
from protocol.tasks.selection import task_of

INPUT = Tensor(name="x", shape=(1, 2))


def a_contract(*shapes: tuple[int, ...], task: str | None = None) -> Contract:
    outputs = tuple(Tensor(name=f"y{at}", shape=shape) for at, shape in enumerate(shapes))
    return Contract(inputs=(INPUT,), outputs=outputs, task=TaskDeclaration(name=task) if task else None)


@pytest.mark.parametrize(
    ("shapes", "name"), [([(1, 10)], "classification"), ([(1, 1)], "scores"), ([(1, 4, 2)], "scores")]
)
def test_old_contracts_are_read_by_their_shapes(shapes: list[tuple[int, ...]], name: str) -> None:
    assert task_of(a_contract(*shapes)).name == name


def test_a_task_of_a_newer_version_is_read_as_scores() -> None:
    assert task_of(a_contract((1, 10), task="telepathy")).name == "scores"


def test_every_output_counts_in_scores() -> None:
    task = task_of(a_contract((1, 1), (1, 3), task="scores"))
    ours = [np.array([1.0]), np.array([1.0, 2.0, 3.0])]
    assert task.alike(ours, ours) == 1.0
    assert task.alike(ours, [ours[0], np.array([9.0, 9.0, 9.0])]) == 0.0
