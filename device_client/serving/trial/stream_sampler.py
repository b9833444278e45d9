"""Which parts of streams a shadow is given: runs of consecutive steps.

An answer of a model with state depends on what came before, so that single steps say
nothing. A run begins with its stream, or at a block of steps of one that goes on; then
the shadow runs both models on it from their initial state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

BLOCK_STEPS: Final = 256  # what a share of a stream is counted in
SILENT_S: Final = 10.0  # after which another stream may be sampled


@dataclass(frozen=True, slots=True)
class StreamStep:
    """One input of a stream; its first is number 0."""

    stream: int
    number: int

    @property
    def next(self) -> StreamStep:
        return StreamStep(self.stream, self.number + 1)


class Place(Enum):
    """Of a step in the run that it is sampled for."""

    FIRST = "the first of its stream"
    LATER = "the first of a run within a stream"
    WITHIN = "the next of a run"


class StreamSampler:
    """Follows one stream at a time. Not thread-safe."""

    def __init__(self, chosen: Callable[[int], bool]) -> None:
        """`chosen`: whether the block of this number is among the sampled share."""
        self._chosen = chosen
        self._next: StreamStep | None = None
        self._at_s = float("-inf")

    def place(self, step: StreamStep, now_s: float) -> Place | None:
        """Where the step belongs; None if it is not sampled."""
        begins = step.number % BLOCK_STEPS == 0
        if step == self._next and not begins:
            return Place.WITHIN
        busy = self._next is not None and step.stream != self._next.stream and now_s < self._at_s + SILENT_S
        if busy or not begins or not self._chosen(step.stream + step.number // BLOCK_STEPS):
            return None
        if step == self._next:
            return Place.WITHIN
        return Place.LATER if step.number else Place.FIRST

    def took(self, step: StreamStep, now_s: float) -> None:
        self._next, self._at_s = step.next, now_s

    def missed(self, step: StreamStep) -> None:
        """The run ends where a step of its stream is not sampled."""
        if self._next and self._next.stream == step.stream:
            self._next = None
