"""What a release must be able to do before it goes out: numbers against floors, and the reason in plain English."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MAX_DROP: Final = 0.02  # of accuracy; about what a full-integer conversion costs
MAIN_VARIANT: Final = "float32"  # the one that others were made from


@dataclass(frozen=True, slots=True)
class Gates:
    """`min_accuracy` None: no floor. `max_drop`: how far accuracy may be under the version that spreads now, 0-1."""

    min_accuracy: float | None = None
    max_drop: float = MAX_DROP


@dataclass(frozen=True, slots=True)
class Standing:
    """The version that the fleet has now, and the accuracy of its variants."""

    version: str
    accuracies: Mapping[str, float | None]

    def accuracy(self, variant: str) -> float | None:
        """Of the variant of this name; of the one that others were made from when it has no such variant."""
        if variant in self.accuracies:
            return self.accuracies[variant]
        return self.accuracies.get(MAIN_VARIANT, next(iter(self.accuracies.values()), None))


def failures(candidate: Mapping[str, float | None], standing: Standing | None, gates: Gates) -> tuple[str, ...]:
    """Every gate that a candidate misses, with its numbers; none when it may go out. Accuracies by variant, 0-1."""
    missed: list[str] = []
    for variant, accuracy in candidate.items():
        if accuracy is None:
            if gates.min_accuracy is not None:
                missed.append(f"the accuracy of {variant} is not known, and at least {gates.min_accuracy:.3f} is asked")
            continue
        if gates.min_accuracy is not None and accuracy < gates.min_accuracy:
            missed.append(f"the accuracy of {variant} is {accuracy:.3f}, under the {gates.min_accuracy:.3f} asked for")
        before = standing.accuracy(variant) if standing else None
        if standing and before is not None and before - accuracy > gates.max_drop:
            missed.append(
                f"the accuracy of {variant} is {accuracy:.3f}, {before - accuracy:.3f} under the {before:.3f} of"
                f" {standing.version}; {gates.max_drop:.3f} is allowed"
            )
    return tuple(missed)
