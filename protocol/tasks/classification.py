"""One class of several: the first output is a score for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from protocol.errors import BadInput
from protocol.messages.contract import Contract
from protocol.tasks.task import Outputs


@dataclass(frozen=True, slots=True)
class Classified:
    """`confidence`: None where the scores are none (0-1)."""

    top: int
    confidence: float | None


class Classification:
    """Softmax classifiers. Accuracy: the share of inputs whose top class is right."""

    name = "classification"
    measure = "accuracy"

    def __init__(self, contract: Contract) -> None:
        self._classes = contract.outputs[0].shape[-1]

    def answer(self, outputs: Outputs) -> Classified:
        top = int(outputs[0].argmax())
        share = float(outputs[0].item(top))
        return Classified(top, share if 0.0 <= share <= 1.0 else None)

    def top(self, outputs: Outputs) -> tuple[int | None, float | None]:
        answer = self.answer(outputs)
        return answer.top, answer.confidence

    def groups(self, outputs: Outputs) -> tuple[int, ...]:
        return (int(outputs[0].argmax()),)

    def truth(self, given: Any, labels: Sequence[str]) -> int:
        if isinstance(given, str):
            if given not in labels:
                known = ", ".join(labels[:10]) or "it has none"
                raise BadInput(f"{given!r} is none of the model's labels: {known}")
            return labels.index(given)
        if not isinstance(given, int | np.integer) or not 0 <= given < self._classes:
            raise BadInput(f"the true class {given!r} is not between 0 and {self._classes - 1}")
        return int(given)

    def fit(self, outputs: Outputs, truth: int) -> float:
        return float(int(outputs[0].argmax()) == truth)

    def alike(self, ours: Outputs, theirs: Outputs) -> float:
        return float(int(ours[0].argmax()) == int(theirs[0].argmax()))

    def figure(self, answers: Sequence[Outputs], truths: Sequence[int]) -> float:
        return float(np.mean([self.fit(each, truth) for each, truth in zip(answers, truths, strict=True)]))
