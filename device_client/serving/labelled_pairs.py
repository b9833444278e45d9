"""Counts which of two models was right on labelled inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PAIRS_MAX: Final = 8_192  # inputs that still lack an answer or a label


@dataclass(slots=True)
class _Pair:
    live: int | None
    shadow: int | None = None
    truth: int | None = None


class LabelledPairs:
    """Takes answers and label of an input in any order. Not thread-safe."""

    def __init__(self) -> None:
        self._pairs: dict[int, _Pair] = {}
        self.labelled = self.both_correct = self.only_live_correct = self.only_shadow_correct = 0

    def add(self, id_: int, live: int | None) -> None:
        self._pairs.setdefault(id_, _Pair(live))
        while len(self._pairs) > PAIRS_MAX:
            del self._pairs[next(iter(self._pairs))]

    def answer(self, id_: int, shadow: int) -> None:
        if pair := self._pairs.get(id_):
            pair.shadow = shadow
            self._count_if_complete(id_, pair)

    def label(self, id_: int, truth: int) -> None:
        if pair := self._pairs.get(id_):
            pair.truth = truth
            self._count_if_complete(id_, pair)

    def _count_if_complete(self, id_: int, pair: _Pair) -> None:
        if pair.truth is None or pair.shadow is None:
            return
        del self._pairs[id_]
        self.labelled += 1
        live, shadow = pair.live == pair.truth, pair.shadow == pair.truth
        self.both_correct += live and shadow
        self.only_live_correct += live and not shadow
        self.only_shadow_correct += shadow and not live
