"""Writes the ladder of a recipe or Keras file; needs no registry and no broker."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from protocol.errors import BadInput
from protocol.host.files import write_durably
from publisher.learning.artifacts.imported_model import trained_from_keras
from publisher.learning.compression.ladder import Ladder, OnRung
from publisher.learning.compression.ladder_builder import build_recipe_ladder, build_trained_ladder
from publisher.learning.compression.ladder_record import FILE_MODE, FOLDER, FolderRecord
from publisher.learning.compression.rung_builder import facts_file
from publisher.learning.progress import Steps
from publisher.learning.recipe.recipe import Recipe, load_recipe
from publisher.learning.recipe.train_settings import TrainSettings
from publisher.learning.tensorflow_import import versions
from publisher.learning.training.warm_start import WarmStart
from publisher.learning.variants.duration import time_text
from publisher.learning.variants.rung import ImpossibleRung, Rung
from publisher.learning.variants.variant_spec import PARENT, RUNGS, rungs_of_sparsity, variant_specs
from publisher.operations.progress import Progress
from publisher.operations.release.train import make_output_folder
from publisher.operations.release.training_history import describe_new_networks
from publisher.views.html_report import report
from publisher.views.ladder_table import rung_line
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
    """Write the rungs and reports to `folder`. Raises BadRecipe, BadModel, BadInput.

    Each rung is written and reported as it is made. After an interruption, the same
    compression in the same folder goes on; it starts over if its inputs have changed.
    """
    names = _rung_names(compression)
    make_output_folder(folder)  # fail before minutes of training
    record = FolderRecord(folder / FOLDER)
    build = _build_from_recipe if compression.keras_file is None else _build_from_file
    try:
        ladder = build(compression, names, progress, record, RungWriter(folder, progress, compression.epochs))
    except KeyboardInterrupt:
        progress.report(f"what is made stays in {folder}; the same command goes on from there")
        raise
    for line in describe_new_networks(ladder.facts()):
        progress.report(line)
    written = _write(ladder, folder)
    record.remove()
    return written


def _build_from_recipe(
    compression: Compression, names: tuple[str, ...], progress: Progress, record: FolderRecord, on_rung: OnRung
) -> Ladder:
    recipe = load_recipe(compression.recipe)
    settings = recipe.settings.having(epochs=compression.epochs, seed=compression.seed)
    inputs = _inputs(recipe, recipe.data.sha256(), settings, compression)
    _begin(record, inputs, names, progress)
    with progress.bar(f"compressing {recipe.name}") as on_progress:
        return build_recipe_ladder(
            recipe,
            names,
            seed=compression.seed,
            epochs=compression.epochs,
            start=compression.start,
            distill_seeds=compression.distill_seeds,
            steps=Steps(0, on_progress),
            record=record,
            on_rung=on_rung,
        )


def _build_from_file(
    compression: Compression, names: tuple[str, ...], progress: Progress, record: FolderRecord, on_rung: OnRung
) -> Ladder:
    file = compression.keras_file
    assert file is not None  # checked by the caller
    with progress.bar(f"compressing {file.path.name}") as on_progress:
        trained = trained_from_keras(file.path, file.data, trust_code=file.trust_code)
        settings = trained.settings.having(epochs=compression.epochs, seed=compression.seed)
        _begin(record, _inputs(trained.recipe, trained.data_sha256, settings, compression), names, progress)
        return build_trained_ladder(
            trained,
            names,
            seed=compression.seed,
            epochs=compression.epochs,
            steps=Steps(0, on_progress),
            record=record,
            on_rung=on_rung,
        )


def _inputs(recipe: Recipe, data_sha256: str, settings: TrainSettings, compression: Compression) -> dict[str, str]:
    """What all rungs depend on, by names for a person.

    `--epochs` counts even where it is the recipe's own number: rungs of a big network
    take fewer without it.
    """
    start = compression.start
    begins = () if start is None else (start.version.encode(), start.weights, *start.networks.values())
    return {
        recipe.path.name: recipe.sha256,
        "the data": data_sha256,
        "the settings": json.dumps(dataclasses.asdict(settings), sort_keys=True),
        "--epochs": "" if compression.epochs is None else str(compression.epochs),
        "--from": hashlib.sha256(b"".join(begins)).hexdigest(),
        "the installed versions": json.dumps(versions(), sort_keys=True),
    }


def _begin(record: FolderRecord, inputs: Mapping[str, str], names: Sequence[str], progress: Progress) -> None:
    """Say whether an interrupted ladder goes on, or why it does not."""
    if changed := record.begin(inputs):
        progress.report(f"an interrupted ladder starts over, as these changed: {changed}")
    elif made := [name for name in names if facts_file(name) in record]:
        progress.report(f"going on with an interrupted ladder: {len(made)} of {len(names)} rungs are made")


class RungWriter:
    """Writes what there is of a ladder after each rung, and reports the rung."""

    def __init__(self, folder: Path, progress: Progress, epochs: int | None) -> None:
        self._folder = folder
        self._epochs = epochs  # as the user gave them
        self._progress = progress

    def __call__(self, ladder: Ladder, made: Rung | ImpossibleRung) -> None:
        if made.name == PARENT:
            self._report_fewer_epochs(ladder)
        if isinstance(made, Rung):
            _write_rung(self._folder, made)
        _write_facts(self._folder, ladder.facts())
        self._progress.report(rung_line(made.facts()))
        if ladder.left_s is not None:
            self._progress.report(f"{len(ladder.unfinished)} more to make, in about {time_text(ladder.left_s)}")

    def _report_fewer_epochs(self, ladder: Ladder) -> None:
        trained = ladder.trained
        given = (trained.recipe.settings if trained.source == "recipe" else TrainSettings()).epochs
        taken = ladder.schedule.settings.epochs
        if self._epochs is None and taken < given:
            self._progress.report(
                f"as the network is big, rungs take their share of {taken} epochs, not of {given} (--epochs)"
            )


def _rung_names(compression: Compression) -> tuple[str, ...]:
    """The requested rungs, checked before anything is trained. Raises BadInput."""
    if not 1 <= compression.distill_seeds <= SEEDS_MAX:
        raise BadInput(f"--distill-seeds {compression.distill_seeds} cannot be", hint=f"it is 1 to {SEEDS_MAX}")
    added = tuple(name for percent in compression.sparsity for name in rungs_of_sparsity(percent))
    return tuple(spec.name for spec in variant_specs((*(compression.rungs or RUNGS), *added)))


def _write(ladder: Ladder, folder: Path) -> Compressed:
    files = tuple(_write_rung(folder, rung) for rung in ladder.rungs)
    facts = ladder.facts()
    _write_facts(folder, facts)
    page, dots, lines = (folder / name for name in (REPORT, "pareto.png", "pareto.svg"))
    page.write_text(report(facts), encoding="utf-8")
    dots.write_bytes(png(facts))
    lines.write_text(svg(facts), encoding="utf-8")
    return Compressed((*files, folder / FACTS, page, dots, lines), facts)


def _write_rung(folder: Path, rung: Rung) -> Path:
    path = folder / f"{rung.name}.tflite"
    if not path.is_file() or path.read_bytes() != rung.tflite:
        write_durably(path, rung.tflite, FILE_MODE)
    return path


def _write_facts(folder: Path, facts: dict[str, Any]) -> None:
    write_durably(folder / FACTS, f"{json.dumps(facts, indent=2)}\n".encode(), FILE_MODE)
