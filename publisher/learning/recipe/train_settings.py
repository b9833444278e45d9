"""Validated `train_settings` of a recipe. Knows nothing of data or networks."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from protocol.errors import BadRecipe


@dataclass(frozen=True, slots=True)
class TrainSettings:
    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 0.001  # Adam's
    seed: int = 0
    scramble_labels: bool = False  # makes a model that a fleet rejects
    temperature: float = 4.0  # softens the teacher's output in distillation
    distill_weight: float = 0.5  # the teacher's share of the student's loss

    def having(
        self, *, epochs: int | None = None, seed: int | None = None, scramble_labels: bool | None = None
    ) -> TrainSettings:
        """A copy with the values that are given. Raises BadRecipe."""
        given = {"epochs": epochs, "seed": seed, "scramble_labels": scramble_labels}
        return _validate({**dataclasses.asdict(self), **{k: v for k, v in given.items() if v is not None}})


BOUNDS: Final[dict[str, tuple[float, float]]] = {
    "epochs": (1, 100_000),
    "batch_size": (1, 1_000_000),
    "learning_rate": (1e-9, 100.0),
    "seed": (0, 2**32 - 1),  # what numpy takes
    "temperature": (0.1, 100.0),
    "distill_weight": (0.0, 1.0),
}
FRACTIONAL: Final = ("learning_rate", "temperature", "distill_weight")  # the others are whole numbers


def settings_from(given: object, where: str) -> TrainSettings:
    """Read `train_settings`, a dict with any of the fields. Raises BadRecipe."""
    if not isinstance(given, Mapping):
        raise BadRecipe(
            f"train_settings in {where} is a {type(given).__name__}",
            hint='it is a dict such as {"epochs": 20, "batch_size": 32}',
        )
    known = [field.name for field in dataclasses.fields(TrainSettings)]
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            raise BadRecipe(
                f"train_settings in {where} has {key!r}, which is no setting",
                hint=f"did you mean {near[0]!r}?" if near else f"the settings are {', '.join(known)}",
            )
    return _validate({key: _plain(value) for key, value in given.items()})


def _plain(value: object) -> object:
    """A numpy scalar as a Python number, for a lineage is plain JSON."""
    return value.item() if isinstance(value, np.generic) else value


def _validate(given: dict[str, object]) -> TrainSettings:
    for key, (low, high) in BOUNDS.items():
        value = given.get(key, getattr(TrainSettings(), key))
        wanted = (int, float) if key in FRACTIONAL else (int,)
        if isinstance(value, bool) or not isinstance(value, wanted) or not low <= value <= high:
            kind = "number" if float in wanted else "whole number"
            raise BadRecipe(f"{key} is {value!r}", hint=f"it is a {kind} from {low:g} to {high:g}")
    if not isinstance(given.get("scramble_labels", False), bool):
        raise BadRecipe(f"scramble_labels is {given['scramble_labels']!r}", hint="it is True or False")
    return TrainSettings(**given)  # type: ignore[arg-type] # each value was checked by name above
