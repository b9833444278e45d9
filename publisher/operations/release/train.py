"""Trains a recipe and lays the variants and their numbers down in a folder; a registry remembers it. No broker."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from protocol.errors import BadInput
from protocol.topics import check_name
from publisher.adapters.registry import Registry
from publisher.core.release.reproducibility import Repetition
from publisher.operations.context import utc_now
from publisher.operations.progress import Progress
from publisher.operations.release.training_history import drawn_anew, made_anew, remember, told

if TYPE_CHECKING:  # these import numpy
    from publisher.learning.artifacts.build import BuiltVersion, Choose
    from publisher.learning.data.calibration import KeptCalibration
    from publisher.learning.training.warm_start import WarmStart

METRICS: Final = "metrics.json"


@dataclass(frozen=True, slots=True)
class Training:
    """What to train. What is None is the recipe's own; no `variants` are the usual; `choose` takes some of them.

    `kept` is the calibration set of an earlier version.
    """

    recipe: str
    epochs: int | None = None
    seed: int | None = None
    scramble_labels: bool | None = None
    start: WarmStart | None = None
    kept: KeptCalibration | None = None
    variants: tuple[str, ...] = ()
    choose: Choose | None = None


@dataclass(frozen=True, slots=True)
class FinishedTraining:
    """What lies in the folder, and under which number the registry remembers it."""

    files: tuple[Path, ...]
    metrics: dict[str, Any]
    number: int | None = None
    repetition: Repetition | None = None


def train(
    model: str,
    training: Training,
    folder: Path,
    progress: Progress,
    registry: Registry | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> FinishedTraining:
    """Write `<model>-<variant>.tflite` and metrics.json. Raises BadRecipe, BadInput."""
    check_name(model, "model")
    _make_folder(folder)  # before minutes of training
    with progress.bar(f"training {model}") as on_progress:
        made = make(training, on_progress)
    for sentence in (*made_anew(made.lineage), *drawn_anew(made.lineage)):
        progress.report(sentence)
    files = tuple(folder / f"{model}-{variant.name}.tflite" for variant in made.variants)
    for path, variant in zip(files, made.variants, strict=True):
        path.write_bytes(variant.tflite)
    metrics = metrics_of(model, made)
    (folder / METRICS).write_text(json.dumps(metrics, indent=2) + "\n")
    if registry is None:
        return FinishedTraining((*files, folder / METRICS), metrics)
    record, repetition = remember(registry, model, made, clock())
    progress.report(told(record, repetition))
    return FinishedTraining((*files, folder / METRICS), metrics, record.number, repetition)


def recipe_name(recipe: str) -> str:
    """What a lineage calls the recipe of `--recipe`. Raises BadRecipe where there is none."""
    from publisher.learning.recipe.recipe import find_recipe

    return find_recipe(recipe).stem


def make(training: Training, on_progress: Any) -> BuiltVersion:
    """Train, convert and measure."""
    from publisher.learning.artifacts.build import VARIANTS, build_from_recipe
    from publisher.learning.recipe.recipe import load_recipe

    return build_from_recipe(
        load_recipe(training.recipe),
        variants=training.variants or VARIANTS,
        seed=training.seed,
        epochs=training.epochs,
        scramble_labels=training.scramble_labels,
        start=training.start,
        kept=training.kept,
        choose=training.choose,
        on_progress=on_progress,
    )


def metrics_of(model: str, made: BuiltVersion) -> dict[str, Any]:
    """The numbers of a training as plain JSON."""
    variants = {
        variant.name: {"size_bytes": len(variant.tflite), **variant.measured.model_dump(exclude_none=True)}
        for variant in made.variants
    }
    return {"model": model, "accuracy": made.accuracy, "variants": variants, "lineage": made.lineage}


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as refused:
        raise BadInput(f"nothing can be written to {folder}: {refused.strerror}", hint="choose another --out") from None
