"""Any numbers, of which nothing more is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from protocol.errors import BadInput
from protocol.messages.contract import Contract
from protocol.tasks.task import Array, Outputs


@dataclass(frozen=True, slots=True)
class Scored:
    """All outputs as real numbers."""

    values: tuple[Array, ...]


class Scores:
    """Two answers are as alike as their least alike output.

    An output's distance is its mean absolute difference in units of its spread over the
    golden set, so that a constant is unlike whatever it stands for.
    """

    name = "scores"
    measure = "1 - nMAE"

    def __init__(self, contract: Contract) -> None:
        self._spreads = [tensor.spread or 1.0 for tensor in contract.outputs]

    def answer(self, outputs: Outputs) -> Scored:
        return Scored(tuple(outputs))

    def top(self, outputs: Outputs) -> tuple[int | None, float | None]:
        return None, None

    def groups(self, outputs: Outputs) -> tuple[int, ...]:
        return (0,)

    def truth(self, given: Any, labels: Sequence[str]) -> tuple[Array, ...]:
        values = given if isinstance(given, tuple | list) and len(self._spreads) > 1 else [given]
        try:
            return tuple(np.asarray(each, np.float64) for each in values)
        except (TypeError, ValueError):
            raise BadInput(f"the true values {str(given)[:100]} are no numbers") from None

    def fit(self, outputs: Outputs, truth: tuple[Array, ...]) -> float:
        return self.alike(truth, outputs)

    def alike(self, ours: Outputs, theirs: Outputs) -> float:
        return min(
            (_alike(a, b, spread) for a, b, spread in zip(ours, theirs, self._spreads, strict=True)), default=1.0
        )

    def figure(self, answers: Sequence[Outputs], truths: Sequence[tuple[Array, ...]]) -> float:
        return float(np.mean([self.fit(each, truth) for each, truth in zip(answers, truths, strict=True)]))


def _alike(ours: Array, theirs: Array, spread: float) -> float:
    if ours.shape != theirs.shape:
        return 0.0
    if not ours.size:
        return 1.0
    distance = float(np.abs(ours.astype(np.float64) - theirs).mean())
    return max(0.0, 1.0 - distance / spread)
