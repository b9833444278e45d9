"""A vector that is near others of the same kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from protocol.messages.contract import Contract
from protocol.tasks.outputs import MainOutput
from protocol.tasks.task import NO_GROUP, Array, Outputs, mean_fit


@dataclass(frozen=True, slots=True)
class EmbeddingAnswer:
    vector: Array


class Embedding:
    """Recall at 1: the share whose nearest other vector, by cosine, is of its kind.

    Two answers are alike by their Euclidean distance over that of two answers to
    different inputs, so that a model which always says the same is alike to nothing.
    Source: Jegou, Douze and Schmid, "Product quantization for nearest neighbor search",
    IEEE TPAMI 33 (2011).
    """

    name = "embedding"
    measure = "recall at 1"

    def __init__(self, contract: Contract) -> None:
        self._output = MainOutput(contract, "vector")

    def answer(self, outputs: Outputs) -> EmbeddingAnswer:
        return EmbeddingAnswer(outputs[self._output.at].ravel())

    def top(self, outputs: Outputs) -> tuple[int | None, float | None]:
        return None, None

    def groups(self, outputs: Outputs) -> tuple[int, ...]:
        return (NO_GROUP,)

    def truth(self, given: Any, labels: Sequence[str]) -> Array:
        """The vector that would have been right, as of a larger model."""
        return self._output.truth(given)

    def fit(self, outputs: Outputs, truth: Array) -> float:
        return self._close(*self._output.pair(outputs, truth))

    def alike(self, ours: Outputs, theirs: Outputs) -> float:
        return min(self._close(ours[self._output.at], theirs[self._output.at]), self._output.others.alike(ours, theirs))

    def figure(self, answers: Sequence[Outputs], truths: Sequence[Any]) -> float:
        """`truths`: kinds, of which each has to occur twice to count; or vectors."""
        if any(isinstance(truth, np.ndarray) for truth in truths):
            return mean_fit(self, answers, truths)
        vectors = np.asarray([each[self._output.at].ravel() for each in answers], np.float64)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        kinds = np.asarray(truths)
        likeness = vectors @ vectors.T
        np.fill_diagonal(likeness, -np.inf)
        counted = np.asarray([(kinds == kind).sum() > 1 for kind in kinds])
        if not counted.any():
            return 0.0
        return float((kinds[likeness.argmax(axis=1)] == kinds)[counted].mean())

    def _close(self, ours: Array, theirs: Array) -> float:
        if ours.shape != theirs.shape:
            return 0.0
        apart = float(np.linalg.norm((np.asarray(ours, np.float64) - theirs).ravel()))
        return max(0.0, 1.0 - apart / self._usually_apart(ours))

    def _usually_apart(self, ours: Array) -> float:
        """The distance of answers to different inputs: two deviations in each value."""
        if self._output.spread is None:
            return float(np.linalg.norm(ours.ravel())) or 1.0
        each = np.broadcast_to(self._output.spread, ours.shape)
        return float(np.sqrt(2.0 * np.sum(each * each)))
