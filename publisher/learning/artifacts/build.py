"""Builds a version, yet unsigned, from a recipe, a network or a .tflite file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from protocol.errors import BadInput
from protocol.messages.contract import Contract
from protocol.messages.manifest import GoldenBound, InputStatistics, Measured, Requirements
from protocol.messages.preprocessing import Preprocessing
from protocol.preprocessing.preprocessor import Preprocessor
from publisher.core.release.gates import Figures
from publisher.core.release.pareto import Selection, without_worse
from publisher.learning.artifacts.golden import draw_golden_set
from publisher.learning.compression.ladder import Ladder
from publisher.learning.compression.ladder_builder import build_ladder, build_recipe_ladder, count_steps
from publisher.learning.data.calibration import KeptCalibration
from publisher.learning.data.dataset import Labels
from publisher.learning.data.golden_samples import GoldenSamples
from publisher.learning.data.input_statistics import input_statistics, statistics_of_data
from publisher.learning.data.labels import check_fit, fitting, found_labels
from publisher.learning.data.npz_data import UserData, read_user_data, with_value_range
from publisher.learning.data.truths import check_truths
from publisher.learning.measurement.evaluation import Answers, MeasuredData, measure
from publisher.learning.measurement.golden_set import (
    Candidate,
    GoldenSet,
    golden_inputs,
    make_golden_set,
    raw_golden_inputs,
)
from publisher.learning.measurement.inspection import Inspection, inspect, read_tflite
from publisher.learning.measurement.litert_metadata import ModelMetadata, read_metadata
from publisher.learning.measurement.sandbox import FileRequest
from publisher.learning.preprocessing.preparation import prepare
from publisher.learning.progress import OnProgress, Steps, ignore_progress
from publisher.learning.recipe.recipe import Recipe
from publisher.learning.tasks.declaration import TaskRequest, declare
from publisher.learning.tasks.outputs import Hints
from publisher.learning.training.lineage import kept_files, lineage_of, lineage_of_file, lineage_of_rungs
from publisher.learning.training.train import TrainingResult
from publisher.learning.training.warm_start import WarmStart
from publisher.learning.variants.rung import Rung
from publisher.learning.variants.schedule import Schedule
from publisher.learning.variants.variant_spec import PARENT

Choose = Callable[[Mapping[str, Figures]], Selection]
VARIANTS: Final = ("float32", "int8")  # by default
BARE: Final = "original"  # the one variant of a .tflite file


@dataclass(frozen=True, slots=True)
class BuiltVariant:
    """A file of a version. `tolerance`: the largest difference from golden outputs."""

    name: str
    precision: str
    tflite: bytes
    tolerance: float
    measured: Measured
    requires: Requirements
    bounds: tuple[GoldenBound, ...] = ()  # of each output, for devices that know more than `tolerance`


@dataclass(frozen=True, slots=True)
class BuiltVersion:
    """A version before it is signed. `accuracy` is the parent's, None where unknown.

    `lineage` is plain JSON; `kept` are files that it names by hash, to continue from;
    `told`: what the user should know, each a sentence.
    """

    contract: Contract
    labels: tuple[str, ...]
    golden: GoldenSet
    variants: tuple[BuiltVariant, ...]
    accuracy: float | None
    lineage: dict[str, Any]
    kept: tuple[bytes, ...] = ()
    statistics: InputStatistics | None = None  # of the training data, or of --data
    preprocessing: Preprocessing | None = None
    told: tuple[str, ...] = ()


def build_from_recipe(
    recipe: Recipe,
    *,
    variants: Sequence[str] = (),
    seed: int | None = None,
    epochs: int | None = None,
    scramble_labels: bool | None = None,
    start: WarmStart | None = None,
    kept: KeptCalibration | None = None,
    choose: Choose | None = None,
    on_progress: OnProgress = ignore_progress,
) -> BuiltVersion:
    """Train, from `start` if given, and build the `variants`, names of rungs.

    Without any, those of VARIANTS that are possible. Overrides and `kept` as in
    `build_recipe_ladder`; `choose` selects variants by their figures, and impossible
    ones are left out. Raises BadRecipe, BadModel, BadInput.
    """
    steps, names = Steps(1, on_progress), variants or VARIANTS
    ladder = build_recipe_ladder(
        recipe, names, seed=seed, epochs=epochs, scramble_labels=scramble_labels, start=start, kept=kept, steps=steps
    )
    if not variants:
        lost = {rung.name for rung in ladder.impossible}
        names = [name for name in names if name not in lost]
    return build_from_ladder(ladder, names, choose=choose, steps=steps)


def build_from_trained(
    trained: TrainingResult,
    variants: Sequence[str],
    *,
    choose: Choose | None = None,
    on_progress: OnProgress = ignore_progress,
) -> BuiltVersion:
    """The same from a trained network. Raises BadModel, BadInput."""
    steps = Steps(count_steps(variants, Schedule(trained.settings)) + 1, on_progress)
    return build_from_ladder(build_ladder(trained, variants, steps=steps), variants, choose=choose, steps=steps)


def build_from_ladder(
    ladder: Ladder, names: Sequence[str], *, choose: Choose | None = None, steps: Steps | None = None
) -> BuiltVersion:
    """A version of these rungs, or of those that `choose` selects. Raises BadInput.

    A rung that is worse than the parent in everything is left out.
    """
    steps = steps or Steps(1, ignore_progress)
    figures = ladder.figures()
    if choose is None:
        chosen = {name: figures[ladder.rung(name).name] for name in names}
        selection = without_worse(chosen, figures[ladder.parent.name])
    else:
        selection = choose(figures)
    if not selection.shipped:
        raise BadInput("; ".join(selection.left_out.values()), hint=f"release {PARENT} in its place")
    version = _build(ladder, selection.shipped, steps)
    impossible = [f"{rung.name} is not possible: {rung.reason}" for rung in ladder.impossible]
    not_done = [f"left out: {reason}" for reason in (*impossible, *selection.left_out.values())]
    if not not_done and choose is None:
        return version
    return dataclasses.replace(version, lineage={**version.lineage, "not_done": not_done})


def build_from_tflite(
    path: Path,
    *,
    data: Path | None = None,
    labels: Sequence[str] = (),
    task: TaskRequest = TaskRequest(),  # noqa: B008 - frozen
    preprocessing: Preprocessing | Literal["metadata"] | None = None,
    request: FileRequest = FileRequest(),  # noqa: B008 - frozen
    on_progress: OnProgress = ignore_progress,
) -> BuiltVersion:
    """Measure a .tflite file, on an .npz of `x` and perhaps `y`. Raises as above."""
    steps = Steps(3, on_progress)
    steps.begin(f"opening {path.name}")
    tflite = read_tflite(path)
    inspection = inspect(tflite, name=path.name, request=request)
    metadata = read_metadata(tflite)
    names, labels_from = _labels_of_file(labels, metadata, inspection.contract.outputs[0].shape)
    preparation = prepare(preprocessing, metadata, inspection.contract, path.name)
    preprocessor = preparation.preprocessor
    user_data = read_user_data(data, inspection.contract, preprocessor) if data is not None else None
    contract = inspection.contract if user_data is None else with_value_range(inspection.contract, user_data)
    steps.end("drawing the golden set")
    classes = user_data is not None and user_data.classes is not None
    hints = Hints(path.name, len(names), classes, metadata, inspection.operations)
    candidate = Candidate(tflite, path.name, inspection)
    contract, inputs, golden = draw_golden_set(contract, {BARE: candidate}, user_data, hints, task, preprocessor)
    steps.end(f"measuring {path.name}")
    measured_on = measured_data(user_data, contract, names, data)
    variant, _ = measured_variant(BARE, candidate, contract, golden, measured_on, inputs)
    steps.end("measured")
    return BuiltVersion(
        contract=contract,
        labels=names,
        golden=golden,
        variants=(variant,),
        accuracy=variant.measured.accuracy,
        lineage=lineage_of_file(path, tflite, data)
        | ({"labels_from": labels_from} if labels_from else {})
        | ({"preprocessing_from": preparation.told} if preparation.told else {}),
        statistics=None if user_data is None else statistics_of_data(user_data.inputs[0], contract.inputs[0].shape),
        preprocessing=preparation.declared,
        told=(*inspection.notes, *golden.notes),
    )


def measured_data(
    user_data: UserData | None, contract: Contract, labels: Sequence[str], path: Path | None
) -> MeasuredData | None:
    """The data with its truths, if it has any. Raises BadInput."""
    if user_data is None or user_data.y is None or path is None:
        return None
    return MeasuredData(user_data.inputs, check_truths(user_data.y, contract, labels, path.name))


def measured_variant(
    name: str,
    candidate: Candidate,
    contract: Contract,
    golden: GoldenSet,
    measured_on: MeasuredData | None,
    inputs: GoldenSamples,
    parent: Answers | None = None,
) -> tuple[BuiltVariant, Answers | None]:
    """Measure a candidate; also its answers to the data. Raises BadModel.

    One that cannot be run here has no figures.
    """
    measured, requires, answers = Measured(), Requirements(), None
    if candidate.inspection.measured:
        measured, requires, answers = measure(candidate.tflite, candidate.title, contract, measured_on, inputs, parent)
    precision, bounds = candidate.inspection.precision, golden.bounds.get(name, ())
    return (
        BuiltVariant(name, precision, candidate.tflite, golden.tolerances[name], measured, requires, bounds),
        answers,
    )


def _labels_of_file(
    given: Sequence[str], metadata: ModelMetadata, output_shape: Sequence[int]
) -> tuple[tuple[str, ...], str]:
    """The given labels, else those in the file's metadata; and what to say of them."""
    if given:
        labels = fitting(given, output_shape)
        check_fit(labels, output_shape)
        return labels, ""
    return found_labels(metadata.labels, metadata.labels_file, output_shape)


def _build(ladder: Ladder, names: Sequence[str], steps: Steps) -> BuiltVersion:
    steps.begin("drawing the golden set")
    trained, rungs = ladder.trained, [ladder.rung(name) for name in dict.fromkeys(names)]
    parent, *others = (_inspect(rung, trained) for rung in (ladder.parent, *rungs))
    for other in others:
        parent.contract.check_successor(other.contract)
    candidates = {
        rung.name: Candidate(rung.tflite, f"the variant {rung.name}", inspection)
        for rung, inspection in zip(rungs, others, strict=True)
    }
    held_back = UserData(tuple(trained.held_back([tensor.name for tensor in parent.contract.inputs])), _order(trained))
    inputs = _golden_of(trained, parent.contract, held_back, candidates)
    golden = make_golden_set(parent.contract, candidates, inputs)
    contract = declare(
        parent.contract,
        golden.outputs[rungs[0].name],
        Hints(trained.recipe.name, len(trained.recipe.labels), held_back.y is not None),
        TaskRequest(trained.recipe.objective.declaration()),
    )
    kept = ladder.kept(list(candidates)) if trained.source == "recipe" else {}  # --from continues recipes only
    steps.end("drew the golden set")
    return BuiltVersion(
        contract=contract,
        labels=trained.recipe.labels,
        golden=golden,
        variants=tuple(_variant(rung, golden) for rung in rungs),
        accuracy=ladder.parent.accuracy,
        lineage=lineage_of(trained) | lineage_of_rungs(rungs, ladder.continued(list(candidates)), kept),
        kept=(*kept_files(trained), *kept.values()),
        statistics=input_statistics(trained.recipe.data.x_train),
        preprocessing=trained.recipe.preprocessing,
        told=golden.notes,
    )


def _golden_of(
    trained: TrainingResult, contract: Contract, held_back: UserData, candidates: Mapping[str, Candidate]
) -> GoldenSamples:
    recipe, name = trained.recipe, f"the recipe {trained.recipe.name}"
    if recipe.preprocessing is None:
        return golden_inputs(contract, held_back, candidates, name)
    raw = dataclasses.replace(held_back, raw=recipe.raw_test)
    return raw_golden_inputs(contract, Preprocessor(recipe.preprocessing, contract), raw, candidates, name)


def _order(trained: TrainingResult) -> Labels | None:
    """A class for each held-back sample, of which a golden set holds each."""
    return trained.recipe.objective.order_by(trained.recipe.data.y_test)


def _inspect(rung: Rung, trained: TrainingResult) -> Inspection:
    return inspect(rung.tflite, name=f"the variant {rung.name}", value_range=trained.recipe.data.value_range)


def _variant(rung: Rung, golden: GoldenSet) -> BuiltVariant:
    tolerance, bounds = golden.tolerances[rung.name], golden.bounds[rung.name]
    return BuiltVariant(rung.name, rung.precision, rung.tflite, tolerance, rung.measured(), rung.requires(), bounds)
