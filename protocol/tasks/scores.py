"""Any numbers, of which nothing more is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from protocol.errors import BadInput
from protocol.messages.contract import Contract
from protocol.tasks.outputs import closeness, spread_of
from protocol.tasks.task import NO_GROUP, Array, Outputs, mean_fit
from protocol.tasks.truths import real_values


@dataclass(frozen=True, slots=True)
class ScoresAnswer:
    """All outputs as real numbers."""

    values: tuple[Array, ...]


class Scores:
    """Two answers are as alike as their least alike output.

    1 - nMAE: 1 minus the mean absolute difference in units of the output's spread.
    """

    name = "scores"
    measure = "1 - nMAE"

    def __init__(self, contract: Contract) -> None:
        self._spreads = [spread_of(tensor) for tensor in contract.outputs]

    def answer(self, outputs: Outputs) -> ScoresAnswer:
        return ScoresAnswer(tuple(outputs))

    def top(self, outputs: Outputs) -> tuple[int | None, float | None]:
        return None, None

    def groups(self, outputs: Outputs) -> tuple[int, ...]:
        return (NO_GROUP,)

    def truth(self, given: Any, labels: Sequence[str]) -> tuple[Array, ...]:
        several = len(self._spreads) > 1
        if several and not (isinstance(given, tuple | list) and len(given) == len(self._spreads)):
            raise BadInput(f"the truth is a list of {len(self._spreads)} arrays, one for each output")
        return tuple(real_values(each) for each in (given if several else [given]))

    def fit(self, outputs: Outputs, truth: tuple[Array, ...]) -> float:
        shaped = [a.reshape(b.shape) if a.size == b.size else a for a, b in zip(truth, outputs, strict=True)]
        return self.alike(shaped, outputs)

    def alike(self, ours: Outputs, theirs: Outputs) -> float:
        each = zip(ours, theirs, self._spreads, strict=True)
        return min((closeness(a, b, spread) for a, b, spread in each), default=1.0)

    def figure(self, answers: Sequence[Outputs], truths: Sequence[tuple[Array, ...]]) -> float:
        return mean_fit(self, answers, truths)
