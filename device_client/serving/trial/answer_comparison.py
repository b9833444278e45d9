"""How alike the answers of a live model and its shadow are, counted class by class.

Not thread-safe. `compare` takes the time that the task takes; the rest is quick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from device_client.core.trial.bins import ONE, Bins, bin_of, bins_of
from device_client.core.trial.hypotheses import ANSWER_SEEN_MIN, ANSWERS_MAX, CONSTANT_UNLIKE
from device_client.core.trial.tally import AnswerCount
from device_client.serving.trial.labelled_pairs import FittedPair
from protocol.tasks.task import NO_GROUP, Outputs, Task

RARER: Final = -2  # stands for all classes without a count of their own
REFERENCES: Final = 3  # earlier answers, of which the middle one stands for a constant


@dataclass(frozen=True, slots=True)
class ComparedAnswers:
    """`contrast`: their unlikeness, less half that to other inputs' answers."""

    alike: float
    live_classes: tuple[int, ...]
    shadow_classes: tuple[int, ...]
    contrast: float | None


class AnswerComparison:
    """The counts of a trial that concern answers."""

    def __init__(self, task: Task, labels: Sequence[str] = (), known: Mapping[int, int] | None = None) -> None:
        """`known`: how often the live model gave each class before the trial."""
        self._task, self._labels = task, labels
        often = sorted(((count, at) for at, count in (known or {}).items() if count >= ANSWER_SEEN_MIN), reverse=True)
        self._known = {at for _, at in often[: ANSWERS_MAX - 1]}
        self._own = set(self._known)
        self._references: list[Outputs] = []
        self._compared = 0
        self._live: dict[int, _ClassCounts] = {}
        self._shadow: dict[int, _ClassCounts] = {}
        self._partly, self._contrasts, self._drops = Counter[int](), Counter[int](), Counter[int]()
        self.agreed = self.labelled = self.both_correct = self.only_live_correct = self.only_shadow_correct = 0
        self.partly_live = self.partly_shadow = 0.0

    def compare(self, live: Outputs, shadow: Outputs) -> ComparedAnswers:
        alike = self._task.alike(live, shadow)
        contrast = None
        if self._references:
            apart = sorted(1.0 - self._task.alike(each, live) for each in self._references)
            contrast = 1.0 - alike - CONSTANT_UNLIKE * apart[(len(apart) - 1) // 2]
        self._refer(live)
        ours, theirs = (tuple(map(self._slot, self._task.groups(each))) for each in (live, shadow))
        return ComparedAnswers(alike, ours, theirs, contrast)

    def count(self, compared: ComparedAnswers, *, sealed: bool = False) -> None:
        """`sealed`: counts for its classes and the contrast, but is no live input."""
        at = bin_of(compared.alike)
        if not sealed:
            self.agreed += at == ONE
            if 0 < at < ONE:
                self._partly[at] += 1
        if compared.contrast is not None:
            self._contrasts[bin_of(compared.contrast)] += 1
        self._count_classes(self._live, compared.live_classes, compared.shadow_classes, at)
        self._count_classes(self._shadow, compared.shadow_classes, compared.live_classes, at)

    def count_labelled(self, pair: FittedPair) -> None:
        self.labelled += 1
        if {pair.live, pair.shadow} <= {0.0, 1.0}:
            self.both_correct += pair.live == pair.shadow == 1.0
            self.only_live_correct += pair.live > pair.shadow
            self.only_shadow_correct += pair.shadow > pair.live
        else:
            self._drops[bin_of(pair.drop)] += 1
            self.partly_live += pair.live
            self.partly_shadow += pair.shadow
        for counts, classes in ((self._live, pair.live_classes), (self._shadow, pair.shadow_classes)):
            for at in set(classes):
                counts.setdefault(at, _ClassCounts()).drops[bin_of(pair.drop)] += 1

    def figures(self) -> dict[str, Any]:
        """The fields of a `Tally` that this counts."""
        return {
            "agreed": self.agreed,
            "partly": bins_of(self._partly),
            "labelled": self.labelled,
            "both_correct": self.both_correct,
            "only_live_correct": self.only_live_correct,
            "only_shadow_correct": self.only_shadow_correct,
            "drops": bins_of(self._drops),
            "partly_live": self.partly_live,
            "partly_shadow": self.partly_shadow,
            "live_answers": self._counts(self._live, self._known),
            "shadow_answers": self._counts(self._shadow, set()),
            "contrasts": self._bins_of_contrasts(),
        }

    def _bins_of_contrasts(self) -> Bins:
        """Those of a first answer alone, too: that nothing was there to vary from."""
        return bins_of(self._contrasts) or (((0, 1),) if self._compared else ())

    def _refer(self, live: Outputs) -> None:
        """Keep the answers to inputs 1, 2, 4, 8 …, the last three of them."""
        self._compared += 1
        if self._compared & (self._compared - 1) == 0:
            self._references = [*self._references, live][-REFERENCES:]

    def _slot(self, group: int) -> int:
        """Its own count, for as many classes as have one, in order of appearance."""
        if group not in self._own:
            if len(self._own) >= ANSWERS_MAX - 1:
                return RARER
            self._own.add(group)
        return group

    def _count_classes(
        self, counts: dict[int, _ClassCounts], given: tuple[int, ...], other: tuple[int, ...], at: int
    ) -> None:
        for each in set(given):
            counts.setdefault(each, _ClassCounts()).alike[at if each in other else 0] += 1

    def _counts(self, counts: Mapping[int, _ClassCounts], known: set[int]) -> tuple[AnswerCount, ...]:
        return tuple(
            AnswerCount(self._name(at), bins_of(each.alike), bins_of(each.drops), known=at in known)
            for at in sorted({*counts, *known})
            for each in [counts.get(at, _ClassCounts())]
        )

    def _name(self, at: int) -> str:
        if at == RARER:
            return "one of the rarer classes"
        if at == NO_GROUP:
            return "no class"
        return self._labels[at] if at < len(self._labels) and self._labels[at] else f"class {at}"


class _ClassCounts:
    __slots__ = ("alike", "drops")

    def __init__(self) -> None:
        self.alike, self.drops = Counter[int](), Counter[int]()
