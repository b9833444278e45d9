"""One or several values, each of its own unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from protocol.messages.contract import Contract
from protocol.tasks.outputs import MainOutput, distances
from protocol.tasks.task import NO_GROUP, Array, Outputs


@dataclass(frozen=True, slots=True)
class RegressionAnswer:
    """`value`: the first of `values` (n,), which for most models is the only one."""

    value: float
    values: Array


class Regression:
    """1 - nMAE: 1 minus the mean absolute error over that of always saying the mean.

    An answer is as alike as its least alike value, in units of each value's spread: a
    destroyed value does not hide among sound ones. Source of the relative error:
    Armstrong and Collopy, International Journal of Forecasting 8 (1992).
    """

    name = "regression"
    measure = "1 - nMAE"

    def __init__(self, contract: Contract) -> None:
        self._output = MainOutput(contract, "values")

    def answer(self, outputs: Outputs) -> RegressionAnswer:
        values = outputs[self._output.at].ravel()
        return RegressionAnswer(float(values[0]), values)

    def top(self, outputs: Outputs) -> tuple[int | None, float | None]:
        return None, None

    def groups(self, outputs: Outputs) -> tuple[int, ...]:
        return (NO_GROUP,)

    def truth(self, given: Any, labels: Sequence[str]) -> Array:
        return self._output.truth(given)

    def fit(self, outputs: Outputs, truth: Array) -> float:
        return self._close(*self._output.pair(outputs, truth))

    def alike(self, ours: Outputs, theirs: Outputs) -> float:
        return min(self._close(ours[self._output.at], theirs[self._output.at]), self._output.others.alike(ours, theirs))

    def figure(self, answers: Sequence[Outputs], truths: Sequence[Array]) -> float:
        """The mean over the values; 0 where it is no better than their means."""
        given = np.asarray([each[self._output.at].ravel() for each in answers], np.float64)
        true = np.asarray(truths, np.float64).reshape(given.shape)
        errors = np.abs(given - true).mean(axis=0)
        usual = np.abs(true - true.mean(axis=0)).mean(axis=0)
        shares = np.where(usual > 0, errors / np.where(usual > 0, usual, 1.0), (errors > 0).astype(np.float64))
        return float(np.clip(1.0 - shares, 0.0, 1.0).mean())

    def _close(self, ours: Array, theirs: Array) -> float:
        if ours.shape != theirs.shape:
            return 0.0
        return max(0.0, 1.0 - float(distances(ours, theirs, self._output.spread).max(initial=0.0)))
