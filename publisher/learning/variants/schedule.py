"""How long, and how fast, each network of the ladder is trained, and which of them go on from an earlier version. Pure.

A network that an earlier version kept goes on from there, as its parent does; any other is made from the one before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from publisher.learning.recipe.train_settings import TrainSettings
from publisher.learning.variants.variant_spec import Transformation


@dataclass(frozen=True, slots=True)
class Pace:
    """How long and how fast, as parts of the recipe's own epochs and learning rate."""

    epochs: float
    learning_rate: float


# A student learns from scratch. On five folds of the digits' training data, over 8 to 12 seeds, the taught one did best
# at this pace and a temperature of 2 to 4; at the recipe's own pace it had no time to follow its teacher.
STUDY: Final = Pace(2.0, 2.0)
PRUNE: Final = Pace(0.5, 1.0)
CLUSTER: Final = Pace(0.2, 0.1)
AWARE: Final = Pace(0.25, 0.3)


@dataclass(frozen=True, slots=True)
class Earlier:
    """A version that is gone on from: which networks it kept, by the names of their stages, and the gentle settings."""

    version: str
    kept: frozenset[str]
    settings: TrainSettings


@dataclass(frozen=True, slots=True)
class Schedule:
    """`settings` are the recipe's, for all that is made anew."""

    settings: TrainSettings
    earlier: Earlier | None = None

    def goes_on(self, stage: Transformation) -> bool:
        """Whether the earlier version has this very network."""
        return self.earlier is not None and stage.seed_offset == 0 and stage.name in self.earlier.kept

    def before(self, stage: Transformation) -> Transformation | None:
        """The network that this one is made from; None for one that goes on, or is trained from scratch."""
        return None if self.goes_on(stage) else stage.before

    def path(self, stage: Transformation) -> tuple[Transformation, ...]:
        """All networks that must be made, in order, this one last."""
        before = self.before(stage)
        return (*(self.path(before) if before else ()), stage)

    def epochs(self, stage: Transformation) -> int:
        """How long a stage is trained; not at all where it is the recipe's own network, which is trained already."""
        if stage == Transformation():
            return 0
        if self.earlier is not None and self.goes_on(stage):
            return self.earlier.settings.epochs
        return math.ceil(_pace(stage).epochs * self.settings.epochs)

    def learning_rate(self, stage: Transformation) -> float:
        """Adam's, for the last thing that is done to a network."""
        if self.earlier is not None and self.goes_on(stage):
            return self.earlier.settings.learning_rate
        return self.settings.learning_rate * _pace(stage).learning_rate

    def origin(self, stage: Transformation) -> str | None:
        """What a network goes on from, for a person; None where there is no earlier version."""
        if self.earlier is None:
            return None
        version, (first, *anew) = self.earlier.version, self.path(stage)
        if first == Transformation() or self.goes_on(first):
            begins = f"{first.name} of {version}{_unchanged(first)}"
        else:
            begins, anew = "nothing", [first, *anew]
        missing = f"; {ANEW}: {version} has no {stage.name} to go on from" if anew else ""
        return f"{begins}{missing}"


ANEW: Final = "made anew"  # stands in what `origin` tells wherever a network does not simply go on


def _unchanged(stage: Transformation) -> str:
    parts = {
        "its zeros": stage.sparsity_percent > 0,
        "its clusters": stage.clustered,
        "its integer ranges": stage.aware,
    }
    kept = [part for part, holds in parts.items() if holds]
    if not kept:
        return ""
    return f", {' and '.join(filter(None, (', '.join(kept[:-1]), kept[-1])))} kept"


def _pace(stage: Transformation) -> Pace:
    """Of the last thing that is done to a network."""
    if stage.aware:
        return AWARE
    if stage.clustered:
        return CLUSTER
    return PRUNE if stage.sparsity_percent else STUDY
