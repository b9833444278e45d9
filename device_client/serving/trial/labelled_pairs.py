"""Answers of two models that wait for their label, or a label for its answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from device_client.serving.prediction import KeptAnswer

PAIRS_MAX: Final = 8_192  # inputs that still lack an answer or a label
PAIRS_MAX_BYTES: Final = 16 * 1024 * 1024  # of their answers


@dataclass(frozen=True, slots=True)
class FittedPair:
    """How well the two answers to one input fit its truth, and their classes."""

    live: float
    shadow: float
    live_classes: tuple[int, ...]
    shadow_classes: tuple[int, ...]

    @property
    def drop(self) -> float:
        return self.live - self.shadow


@dataclass(slots=True)
class _Pair:
    live: KeptAnswer
    shadow: KeptAnswer | None = None
    truth: Any = None
    live_classes: tuple[int, ...] = ()
    shadow_classes: tuple[int, ...] = ()
    bytes: int = 0


class LabelledPairs:
    """Takes answers and label of an input in any order. Not thread-safe."""

    def __init__(self, fit: Callable[[KeptAnswer, Any], float]) -> None:
        self._fit = fit
        self._pairs: dict[int, _Pair] = {}
        self._bytes = 0

    def add(self, id_: int, live: KeptAnswer) -> None:
        self._pairs.setdefault(id_, _Pair(live))
        self._grows(self._pairs[id_], live)

    def answer(
        self,
        id_: int,
        shadow: KeptAnswer,
        live_classes: tuple[int, ...],
        shadow_classes: tuple[int, ...],
        live: KeptAnswer | None = None,
    ) -> FittedPair | None:
        """The fits, if the label came before. `live`: in place of the one added."""
        pair = self._pairs.get(id_)
        if pair is None:
            return None
        pair.live = live or pair.live
        pair.shadow, pair.live_classes, pair.shadow_classes = shadow, live_classes, shadow_classes
        self._grows(pair, shadow)
        return self._fitted(id_)

    def label(self, id_: int, truth: Any) -> FittedPair | None:
        """The fits, if both answers came before."""
        pair = self._pairs.get(id_)
        if pair is None:
            return None
        pair.truth = truth
        return self._fitted(id_)

    def _grows(self, pair: _Pair, answer: KeptAnswer) -> None:
        more = answer.size_bytes
        pair.bytes += more
        self._bytes += more
        while len(self._pairs) > PAIRS_MAX or (self._bytes > PAIRS_MAX_BYTES and len(self._pairs) > 1):
            self._remove(next(iter(self._pairs)))

    def _remove(self, id_: int) -> None:
        self._bytes -= self._pairs.pop(id_).bytes

    def _fitted(self, id_: int) -> FittedPair | None:
        pair = self._pairs.get(id_)
        if pair is None or pair.truth is None or pair.shadow is None:
            return None
        self._remove(id_)
        live, shadow = self._fit(pair.live, pair.truth), self._fit(pair.shadow, pair.truth)
        return FittedPair(live, shadow, pair.live_classes, pair.shadow_classes)
