"""Makes the ladder of a recipe or a Keras file, and lays files and numbers down in a folder. No registry, no broker."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from protocol.errors import BadInput
from publisher.operations.progress import Progress
from publisher.operations.release.training_history import made_anew

if TYPE_CHECKING:  # these import numpy
    from publisher.learning.compression.ladder import Ladder
    from publisher.learning.training.warm_start import WarmStart

FACTS: Final = "ladder.json"
REPORT: Final = "report.html"
SEEDS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class KerasFile:
    """A network that was trained elsewhere, and an .npz with samples and their classes to train and to measure on."""

    path: Path
    data: Path
    trust_code: bool = False


@dataclass(frozen=True, slots=True)
class Compression:
    """What to compress, and how. What is None is the recipe's own; no `rungs` are all rungs.

    `sparsity` are shares of zeros in percent, each of which adds its rungs. `distill_seeds` over 1: the student is
    compared with and without its teacher over so many seeds, unless it goes on from a `start`. A Keras file `brought`
    along stands in place of the recipe; it has no student.
    """

    recipe: str = ""
    rungs: tuple[str, ...] = ()
    sparsity: tuple[int, ...] = ()
    seed: int | None = None
    epochs: int | None = None
    distill_seeds: int = 1
    start: WarmStart | None = None
    brought: KerasFile | None = None


@dataclass(frozen=True, slots=True)
class Compressed:
    """What lies in the folder. `facts` are what ladder.json holds."""

    files: tuple[Path, ...]
    facts: dict[str, Any]


def compress(compression: Compression, folder: Path, progress: Progress) -> Compressed:
    """Write `<rung>.tflite` for each rung, ladder.json, report.html and the picture.

    Raises BadRecipe, BadModel, BadInput.
    """
    names = _names(compression)
    _make_folder(folder)  # before minutes of training
    brought = compression.brought
    ladder = (
        _of_recipe(compression, names, progress) if brought is None else _of_file(brought, compression, names, progress)
    )
    for sentence in made_anew(ladder.facts()):
        progress.report(sentence)
    return _written(ladder, folder)


def _of_recipe(compression: Compression, names: tuple[str, ...], progress: Progress) -> Ladder:
    from publisher.learning.recipe.recipe import load_recipe

    recipe = load_recipe(compression.recipe)
    with progress.bar(f"compressing {recipe.name}") as on_progress:
        from publisher.learning.compression.ladder import (
            build_recipe_ladder,  # slow to import, so the bar is there first
        )
        from publisher.learning.progress import Steps

        return build_recipe_ladder(
            recipe,
            names,
            seed=compression.seed,
            epochs=compression.epochs,
            start=compression.start,
            distill_seeds=compression.distill_seeds,
            steps=Steps(0, on_progress),
        )


def _of_file(file: KerasFile, compression: Compression, names: tuple[str, ...], progress: Progress) -> Ladder:
    with progress.bar(f"compressing {file.path.name}") as on_progress:
        from publisher.learning.artifacts.imported_model import (
            trained_from_keras,  # slow to import, so the bar is there first
        )
        from publisher.learning.compression.ladder import build_trained_ladder
        from publisher.learning.progress import Steps

        return build_trained_ladder(
            trained_from_keras(file.path, file.data, trust_code=file.trust_code),
            names,
            seed=compression.seed,
            epochs=compression.epochs,
            steps=Steps(0, on_progress),
        )


def _names(compression: Compression) -> tuple[str, ...]:
    """The rungs that are asked for, checked before anything is trained. Raises BadInput."""
    from publisher.learning.variants.variant_spec import RUNGS, rungs_of_sparsity, variant_specs

    if not 1 <= compression.distill_seeds <= SEEDS_MAX:
        raise BadInput(f"--distill-seeds {compression.distill_seeds} cannot be", hint=f"it is 1 to {SEEDS_MAX}")
    added = tuple(name for percent in compression.sparsity for name in rungs_of_sparsity(percent))
    return tuple(spec.name for spec in variant_specs((*(compression.rungs or RUNGS), *added)))


def _written(ladder: Ladder, folder: Path) -> Compressed:
    files = tuple(folder / f"{rung.name}.tflite" for rung in ladder.rungs)
    for path, rung in zip(files, ladder.rungs, strict=True):
        path.write_bytes(rung.tflite)
    facts = ladder.facts()
    (folder / FACTS).write_text(json.dumps(facts, indent=2) + "\n")
    return Compressed((*files, folder / FACTS, *_drawn(facts, folder)), facts)


def _drawn(facts: dict[str, Any], folder: Path) -> tuple[Path, ...]:
    """The report, and its picture for other pages."""
    from publisher.views.html_report import report
    from publisher.views.pareto_plot import png, svg  # slow to import

    page, dots, lines = (folder / name for name in (REPORT, "pareto.png", "pareto.svg"))
    page.write_text(report(facts), encoding="utf-8")
    dots.write_bytes(png(facts))
    lines.write_text(svg(facts), encoding="utf-8")
    return page, dots, lines


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as refused:
        raise BadInput(f"nothing can be written to {folder}: {refused.strerror}", hint="choose another --out") from None
