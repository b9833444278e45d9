"""How long and how fast each network is trained, and from what it continues. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from publisher.learning.recipe.train_settings import TrainSettings
from publisher.learning.variants.variant_spec import NetworkSpec


@dataclass(frozen=True, slots=True)
class TrainingScale:
    """Factors on the recipe's own epochs and learning rate."""

    epochs: float
    learning_rate: float


# A student learns from scratch. On five folds of the digits' training data, over 8 to
# 12 seeds, the distilled one did best with this scale and a temperature of 2 to 4; with
# the recipe's own epochs it had no time to follow its teacher.
STUDENT_SCALE: Final = TrainingScale(2.0, 2.0)
PRUNE_SCALE: Final = TrainingScale(0.5, 1.0)
CLUSTER_SCALE: Final = TrainingScale(0.2, 0.1)
QAT_SCALE: Final = TrainingScale(0.25, 0.3)
ANEW: Final = "made anew"  # in `origin`, where a network does not continue an earlier one


@dataclass(frozen=True, slots=True)
class EarlierVersion:
    """The version to continue, its kept networks by name, and gentle settings."""

    version: str
    kept: frozenset[str]
    settings: TrainSettings


@dataclass(frozen=True, slots=True)
class Schedule:
    """`settings` are the recipe's, for networks that do not continue `earlier`."""

    settings: TrainSettings
    earlier: EarlierVersion | None = None

    def continues(self, network: NetworkSpec) -> bool:
        """Whether the earlier version has this very network."""
        return self.earlier is not None and network.seed_offset == 0 and network.name in self.earlier.kept

    def base(self, network: NetworkSpec) -> NetworkSpec | None:
        """The network to make it from; None if it continues or starts from scratch."""
        return None if self.continues(network) else network.base

    def chain(self, network: NetworkSpec) -> tuple[NetworkSpec, ...]:
        """All networks that must be made, in order, this one last."""
        base = self.base(network)
        return (*(self.chain(base) if base else ()), network)

    def epochs(self, network: NetworkSpec) -> int:
        """Epochs of its last step; 0 for the recipe's own network, already trained."""
        if network == NetworkSpec():
            return 0
        if self.earlier is not None and self.continues(network):
            return self.earlier.settings.epochs
        return math.ceil(_scale(network).epochs * self.settings.epochs)

    def learning_rate(self, network: NetworkSpec) -> float:
        """Adam's, for its last step."""
        if self.earlier is not None and self.continues(network):
            return self.earlier.settings.learning_rate
        return self.settings.learning_rate * _scale(network).learning_rate

    def origin(self, network: NetworkSpec) -> str | None:
        """What it continues, for a person; None where there is no earlier version."""
        if self.earlier is None:
            return None
        version, (first, *anew) = self.earlier.version, self.chain(network)
        if first == NetworkSpec() or self.continues(first):
            begins = f"{first.name} of {version}{_unchanged(first)}"
        else:
            begins, anew = "nothing", [first, *anew]
        missing = f"; {ANEW}: {version} has no {network.name} to go on from" if anew else ""
        return f"{begins}{missing}"


def _unchanged(network: NetworkSpec) -> str:
    parts = {
        "its zeros": network.sparsity_percent > 0,
        "its clusters": network.clustered,
        "its integer ranges": network.qat,
    }
    kept = [part for part, holds in parts.items() if holds]
    if not kept:
        return ""
    return f", {' and '.join(filter(None, (', '.join(kept[:-1]), kept[-1])))} kept"


def _scale(network: NetworkSpec) -> TrainingScale:
    if network.qat:
        return QAT_SCALE
    if network.clustered:
        return CLUSTER_SCALE
    return PRUNE_SCALE if network.sparsity_percent else STUDENT_SCALE
