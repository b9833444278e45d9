"""Trains a recipe, and writes its variants and metrics to a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from protocol.errors import BadInput
from protocol.tasks.selection import task_of
from protocol.topics import check_name
from publisher.adapters.registry import Registry
from publisher.core.release.reproducibility import Repetition
from publisher.learning.artifacts.build import BuiltVersion, Choose, build_from_recipe
from publisher.learning.data.calibration import KeptCalibration
from publisher.learning.recipe.recipe import find_recipe, load_recipe
from publisher.learning.training.warm_start import WarmStart
from publisher.operations.context import utc_now
from publisher.operations.progress import OnProgress, Progress
from publisher.operations.release import training_history as history

METRICS: Final = "metrics.json"


@dataclass(frozen=True, slots=True)
class Training:
    """What to train. None stands for the recipe's own value.

    `start` is the version to continue, `kept` an earlier calibration set. No `variants`
    are the default ones; `choose` selects among them.
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
    """The written files; `number` and `repetition` if a registry recorded it."""

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
    make_output_folder(folder)  # fail before minutes of training
    with progress.bar(f"training {model}") as on_progress:
        built = build_version(training, on_progress)
    lineage = built.lineage
    for line in (
        *lineage.get("not_done", ()),
        *history.describe_new_networks(lineage),
        *history.describe_new_calibration(lineage),
    ):
        progress.report(line)
    files = tuple(folder / f"{model}-{variant.name}.tflite" for variant in built.variants)
    for path, variant in zip(files, built.variants, strict=True):
        path.write_bytes(variant.tflite)
    metrics = _metrics(model, built)
    (folder / METRICS).write_text(json.dumps(metrics, indent=2) + "\n")
    finished = FinishedTraining((*files, folder / METRICS), metrics)
    if registry is None:
        return finished
    record, repetition = history.record_training(registry, model, built, clock())
    progress.report(history.describe_record(record, repetition))
    return replace(finished, number=record.number, repetition=repetition)


def continued(
    training: Training, registry: Registry, model: str, version: str | None, *, new_calibration: bool
) -> Training:
    """The training with what it takes from earlier versions of a model.

    These are the weights of `version`, if given, and the last calibration set, unless a
    new one is to be drawn. Raises BadRecipe, UnknownVersion, BadInput, BlobDamaged.
    """
    start = history.warm_start(registry, model, version, recipe_name(training.recipe)) if version else None
    if new_calibration:
        return replace(training, start=start and replace(start, calibration=None))
    return replace(training, start=start, kept=history.kept_calibration(registry, model, version))


def recipe_name(recipe: str) -> str:
    """The name of a recipe in a lineage. Raises BadRecipe if there is none."""
    return find_recipe(recipe).stem


def build_version(training: Training, on_progress: OnProgress) -> BuiltVersion:
    return build_from_recipe(
        load_recipe(training.recipe),
        variants=training.variants,
        seed=training.seed,
        epochs=training.epochs,
        scramble_labels=training.scramble_labels,
        start=training.start,
        kept=training.kept,
        choose=training.choose,
        on_progress=on_progress,
    )


def make_output_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as refused:
        raise BadInput(f"nothing can be written to {folder}: {refused.strerror}", hint="choose another --out") from None


def _metrics(model: str, built: BuiltVersion) -> dict[str, Any]:
    variants = {
        variant.name: {"size_bytes": len(variant.tflite), **variant.measured.model_dump(exclude_none=True)}
        for variant in built.variants
    }
    measure = task_of(built.contract).measure
    return {
        "model": model,
        "measure": measure,
        "accuracy": built.accuracy,
        "variants": variants,
        "lineage": built.lineage,
    }
