"""Trains a recipe and lays the variants and their numbers down in a folder. No registry, no broker."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from protocol.errors import BadInput
from protocol.topics import check_name
from publisher.operations.voice import Voice

if TYPE_CHECKING:  # it imports numpy
    from publisher.learning.making import Made

METRICS: Final = "metrics.json"


@dataclass(frozen=True, slots=True)
class Training:
    """What to train. What is None is the recipe's own."""

    recipe: str
    epochs: int | None = None
    seed: int | None = None
    scramble_labels: bool | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """What lies in the folder."""

    files: tuple[Path, ...]
    metrics: dict[str, Any]


def train(model: str, training: Training, folder: Path, voice: Voice) -> Trained:
    """Write `<model>-<variant>.tflite` and metrics.json. Raises BadRecipe, BadInput."""
    check_name(model, "model")
    _make_folder(folder)  # before minutes of training
    with voice.bar(f"training {model}") as on_progress:
        made = make(training, on_progress)
    files = tuple(folder / f"{model}-{variant.name}.tflite" for variant in made.variants)
    for path, variant in zip(files, made.variants, strict=True):
        path.write_bytes(variant.tflite)
    metrics = metrics_of(model, made)
    (folder / METRICS).write_text(json.dumps(metrics, indent=2) + "\n")
    return Trained((*files, folder / METRICS), metrics)


def make(training: Training, on_progress: Any) -> Made:
    """Train, convert and measure."""
    from publisher.learning.making import make_from_recipe
    from publisher.learning.recipe import load_recipe

    return make_from_recipe(
        load_recipe(training.recipe),
        seed=training.seed,
        epochs=training.epochs,
        scramble_labels=training.scramble_labels,
        on_progress=on_progress,
    )


def metrics_of(model: str, made: Made) -> dict[str, Any]:
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
