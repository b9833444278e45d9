"""Classes: one of several, any of several, or yes and no.

Forms of the scores, the output of the role "scores" or else the first:
softmax: one of several; also any other numbers of which the largest decides.
multi_label: each class is present from the threshold on; none may be.
sigmoid: a single score; from the threshold on the answer is class 1, else 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from protocol.messages.contract import Contract
from protocol.tasks.outputs import Others, role_index
from protocol.tasks.task import NO_GROUP, Array, Outputs, Task, mean_fit
from protocol.tasks.truths import class_index

THRESHOLD: Final = 0.5
GROUPS_MAX: Final = 64  # classes of one answer that a trial follows: the most certain


@dataclass(frozen=True, slots=True)
class ClassAnswer:
    """`confidence`: None where the scores are none (0-1)."""

    top: int
    confidence: float | None


@dataclass(frozen=True, slots=True)
class ClassesAnswer:
    """The classes that are present, the surest first, with their scores."""

    classes: tuple[int, ...]
    scores: tuple[float, ...]


class _Classification:
    name = "classification"
    measure = "accuracy"

    def __init__(self, contract: Contract) -> None:
        self._at = role_index(contract, "scores")
        shape = contract.outputs[self._at].shape
        self._classes = shape[-1] if shape else 1
        self._others = Others(contract.outputs, frozenset({self._at}))
        declared = contract.task.threshold if contract.task else None
        self._threshold = THRESHOLD if declared is None else declared

    def _scores(self, outputs: Outputs) -> Array:
        return outputs[self._at].ravel()


class SoftmaxClassification(_Classification):
    """One class of several. Accuracy: the share of inputs whose top class is right."""

    def answer(self, outputs: Outputs) -> ClassAnswer:
        return ClassAnswer(*self.top(outputs))

    def top(self, outputs: Outputs) -> tuple[int, float | None]:
        scores = outputs[self._at]
        top = int(scores.argmax())
        share = float(scores.item(top))
        return top, share if 0.0 <= share <= 1.0 else None

    def groups(self, outputs: Outputs) -> tuple[int, ...]:
        return (int(outputs[self._at].argmax()),)

    def truth(self, given: Any, labels: Sequence[str]) -> int:
        return class_index(given, labels, self._classes)

    def fit(self, outputs: Outputs, truth: int) -> float:
        return float(int(outputs[self._at].argmax()) == truth)

    def alike(self, ours: Outputs, theirs: Outputs) -> float:
        if int(ours[self._at].argmax()) != int(theirs[self._at].argmax()):
            return 0.0
        return self._others.alike(ours, theirs)

    def figure(self, answers: Sequence[Outputs], truths: Sequence[int]) -> float:
        return mean_fit(self, answers, truths)


class MultiLabelClassification(_Classification):
    """Any of several classes. Example-based Jaccard index.

    |A and B| / |A or B| for each input, 1 where both are empty, averaged. Source:
    Godbole and Sarawagi, "Discriminative methods for multi-labeled classification",
    PAKDD 2004.
    """

    measure = "Jaccard index"

    def answer(self, outputs: Outputs) -> ClassesAnswer:
        scores = self._scores(outputs)
        present = np.flatnonzero(scores >= self._threshold)
        order = present[np.argsort(-scores[present], kind="stable")]
        return ClassesAnswer(tuple(int(at) for at in order), tuple(float(scores[at]) for at in order))

    def top(self, outputs: Outputs) -> tuple[int | None, float | None]:
        scores = self._scores(outputs)
        top = int(scores.argmax())
        share = float(scores.item(top))
        return (top if share >= self._threshold else None), (share if 0.0 <= share <= 1.0 else None)

    def groups(self, outputs: Outputs) -> tuple[int, ...]:
        return self.answer(outputs).classes[:GROUPS_MAX] or (NO_GROUP,)

    def truth(self, given: Any, labels: Sequence[str]) -> frozenset[int]:
        """Names or numbers of classes; or an array of 0 and 1, one for each class."""
        if isinstance(given, np.ndarray) and given.shape == (self._classes,) and np.isin(given, (0, 1)).all():
            given = np.flatnonzero(given)
        elif isinstance(given, str) or not isinstance(given, list | tuple | set | frozenset | np.ndarray):
            given = [given]
        return frozenset(class_index(each, labels, self._classes) for each in given)

    def fit(self, outputs: Outputs, truth: frozenset[int]) -> float:
        return _jaccard(frozenset(self._present(outputs)), truth)

    def alike(self, ours: Outputs, theirs: Outputs) -> float:
        alike = _jaccard(frozenset(self._present(ours)), frozenset(self._present(theirs)))
        return min(alike, self._others.alike(ours, theirs))

    def figure(self, answers: Sequence[Outputs], truths: Sequence[frozenset[int]]) -> float:
        return mean_fit(self, answers, truths)

    def _present(self, outputs: Outputs) -> list[int]:
        found: list[int] = np.flatnonzero(self._scores(outputs) >= self._threshold).tolist()
        return found


class SigmoidClassification(_Classification):
    """Yes (1) or no (0). Balanced accuracy: the mean of the shares right in each class.

    Where the answer is rarely yes, always saying no is 50 % right by it. Source:
    Brodersen et al., "The balanced accuracy and its posterior distribution", ICPR 2010.
    """

    measure = "balanced accuracy"

    def answer(self, outputs: Outputs) -> ClassAnswer:
        return ClassAnswer(*self.top(outputs))

    def top(self, outputs: Outputs) -> tuple[int, float | None]:
        score = float(outputs[self._at].item(0))
        yes = score >= self._threshold
        if not 0.0 <= score <= 1.0:
            return int(yes), None
        return int(yes), score if yes else 1.0 - score

    def groups(self, outputs: Outputs) -> tuple[int, ...]:
        return (self._decided(outputs),)

    def truth(self, given: Any, labels: Sequence[str]) -> int:
        if isinstance(given, bool | np.bool_):
            return int(given)
        return class_index(given, labels if len(labels) == 2 else ["no", *labels][:2], 2)

    def fit(self, outputs: Outputs, truth: int) -> float:
        return float(self._decided(outputs) == truth)

    def alike(self, ours: Outputs, theirs: Outputs) -> float:
        return self._others.alike(ours, theirs) if self._decided(ours) == self._decided(theirs) else 0.0

    def figure(self, answers: Sequence[Outputs], truths: Sequence[int]) -> float:
        shares = []
        for side in sorted(set(truths)):
            of_side = [self.fit(each, truth) for each, truth in zip(answers, truths, strict=True) if truth == side]
            shares.append(sum(of_side) / len(of_side))
        return sum(shares) / len(shares)

    def _decided(self, outputs: Outputs) -> int:
        return int(outputs[self._at].item(0) >= self._threshold)


FORMS: Final[dict[str, Callable[[Contract], Task]]] = {
    "softmax": SoftmaxClassification,
    "multi_label": MultiLabelClassification,
    "sigmoid": SigmoidClassification,
}


def classification(contract: Contract) -> Task:
    """The declared form; without one a single score is a sigmoid."""
    form = contract.task.form if contract.task else ""
    if form in FORMS:
        return FORMS[form](contract)
    shape = contract.outputs[role_index(contract, "scores")].shape
    return SigmoidClassification(contract) if shape[-1:] == (1,) else SoftmaxClassification(contract)


def _jaccard(ours: frozenset[int], theirs: frozenset[int]) -> float:
    return len(ours & theirs) / len(ours | theirs) if ours or theirs else 1.0
