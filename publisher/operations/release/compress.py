"""Writes the ladder of a recipe or Keras file; needs no registry and no broker."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from protocol.errors import BadInput
from publisher.learning.artifacts.imported_model import trained_from_keras
from publisher.learning.compression.ladder import Ladder, build_recipe_ladder, build_trained_ladder
from publisher.learning.progress import Steps
from publisher.learning.recipe.recipe import load_recipe
from publisher.learning.training.warm_start import WarmStart
from publisher.learning.variants.variant_spec import RUNGS, rungs_of_sparsity, variant_specs
from publisher.operations.progress import Progress
from publisher.operations.release.train import make_output_folder
from publisher.operations.release.training_history import describe_new_networks
from publisher.views.html_report import report
from publisher.views.pareto_plot import png, svg

FACTS: Final = "ladder.json"
REPORT: Final = "report.html"
SEEDS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class KerasFile:
    """A network trained elsewhere, and an .npz of samples `x` and classes `y`."""

    path: Path
    data: Path
    trust_code: bool = False


@dataclass(frozen=True, slots=True)
class Compression:
    """What to compress, and how. None stands for the recipe's own value.

    No `rungs` are all of them; each percentage of `sparsity` adds its own. With
    `distill_seeds` over 1, the student is compared with and without its teacher over
    that many seeds, unless there is a `start`. A `keras_file` replaces the recipe; it
    has no student.
    """

    recipe: str = ""
    rungs: tuple[str, ...] = ()
    sparsity: tuple[int, ...] = ()
    seed: int | None = None
    epochs: int | None = None
    distill_seeds: int = 1
    start: WarmStart | None = None
    keras_file: KerasFile | None = None


@dataclass(frozen=True, slots=True)
class Compressed:
    """The written files. `facts` is the content of ladder.json."""

    files: tuple[Path, ...]
    facts: dict[str, Any]


def compress(compression: Compression, folder: Path, progress: Progress) -> Compressed:
    """Write the rungs and reports to `folder`. Raises BadRecipe, BadModel, BadInput."""
    names = _rung_names(compression)
    make_output_folder(folder)  # fail before minutes of training
    build = _build_from_recipe if compression.keras_file is None else _build_from_file
    ladder = build(compression, names, progress)
    for line in describe_new_networks(ladder.facts()):
        progress.report(line)
    return _write(ladder, folder)


def _build_from_recipe(compression: Compression, names: tuple[str, ...], progress: Progress) -> Ladder:
    recipe = load_recipe(compression.recipe)
    with progress.bar(f"compressing {recipe.name}") as on_progress:
        return build_recipe_ladder(
            recipe,
            names,
            seed=compression.seed,
            epochs=compression.epochs,
            start=compression.start,
            distill_seeds=compression.distill_seeds,
            steps=Steps(0, on_progress),
        )


def _build_from_file(compression: Compression, names: tuple[str, ...], progress: Progress) -> Ladder:
    file = compression.keras_file
    assert file is not None  # checked by the caller
    with progress.bar(f"compressing {file.path.name}") as on_progress:
        return build_trained_ladder(
            trained_from_keras(file.path, file.data, trust_code=file.trust_code),
            names,
            seed=compression.seed,
            epochs=compression.epochs,
            steps=Steps(0, on_progress),
        )


def _rung_names(compression: Compression) -> tuple[str, ...]:
    """The requested rungs, checked before anything is trained. Raises BadInput."""
    if not 1 <= compression.distill_seeds <= SEEDS_MAX:
        raise BadInput(f"--distill-seeds {compression.distill_seeds} cannot be", hint=f"it is 1 to {SEEDS_MAX}")
    added = tuple(name for percent in compression.sparsity for name in rungs_of_sparsity(percent))
    return tuple(spec.name for spec in variant_specs((*(compression.rungs or RUNGS), *added)))


def _write(ladder: Ladder, folder: Path) -> Compressed:
    files = tuple(folder / f"{rung.name}.tflite" for rung in ladder.rungs)
    for path, rung in zip(files, ladder.rungs, strict=True):
        path.write_bytes(rung.tflite)
    facts = ladder.facts()
    (folder / FACTS).write_text(json.dumps(facts, indent=2) + "\n")
    page, dots, lines = (folder / name for name in (REPORT, "pareto.png", "pareto.svg"))
    page.write_text(report(facts), encoding="utf-8")
    dots.write_bytes(png(facts))
    lines.write_text(svg(facts), encoding="utf-8")
    return Compressed((*files, folder / FACTS, page, dots, lines), facts)
