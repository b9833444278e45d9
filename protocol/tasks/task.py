"""The interface of a task. One task is one module beside this one; numpy only.

`outputs` are always those of one input, in the contract's order: real numbers, without
batch dimension. Methods are pure and raise nothing for any finite outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from numpy.typing import NDArray

Array = NDArray[Any]
Outputs = Sequence[Array]
NO_GROUP: Final = -1  # of an answer that names no class: nothing found, nothing present


class Task(Protocol):
    """How one kind of model is read, measured, and compared."""

    @property
    def name(self) -> str:
        """As in a manifest, such as "detection"."""

    @property
    def measure(self) -> str:
        """What `figure` is called, such as "mAP at IoU 0.5"."""

    def answer(self, outputs: Outputs) -> Any:
        """The answer in the task's words: a frozen record, for applications."""

    def top(self, outputs: Outputs) -> tuple[int | None, float | None]:
        """The class that feedback counts and its confidence (0-1), if any."""

    def groups(self, outputs: Outputs) -> tuple[int, ...]:
        """The classes that a trial must see one by one; NO_GROUP for none."""

    def truth(self, given: Any, labels: Sequence[str]) -> Any:
        """A label as given by an application, checked. Raises BadInput."""

    def fit(self, outputs: Outputs, truth: Any) -> float:
        """How well an answer fits a truth, 0 to 1."""

    def alike(self, ours: Outputs, theirs: Outputs) -> float:
        """How alike two answers to one input are, 0 to 1. All outputs count."""

    def figure(self, answers: Sequence[Outputs], truths: Sequence[Any]) -> float:
        """`measure` over a whole test set, 0 to 1."""


def mean_fit(task: Task, answers: Sequence[Outputs], truths: Sequence[Any]) -> float:
    """The mean of `fit` over a test set; 0 for an empty one."""
    fits = [task.fit(each, truth) for each, truth in zip(answers, truths, strict=True)]
    return sum(fits) / len(fits) if fits else 0.0
