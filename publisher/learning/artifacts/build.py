"""Makes what a release is signed from: the variants with their numbers, the golden set, and where it all came from.

Needs TensorFlow only to make from a recipe. Signs, cuts and stores nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from protocol.messages.manifest import Contract, InputStatistics, Measured, Requirements
from publisher.core.release.gates import Figures
from publisher.core.release.pareto import Selection
from publisher.learning.compression.ladder import Ladder, climb, climb_recipe, steps_of
from publisher.learning.data.calibration import Kept
from publisher.learning.data.input_statistics import input_statistics
from publisher.learning.data.labels import check_fit
from publisher.learning.data.npz_data import OwnData, ranged, read_own_data
from publisher.learning.measurement.evaluation import evaluate
from publisher.learning.measurement.golden_set import Candidate, GoldenSet, drawn, invented, make_golden, sample_count
from publisher.learning.measurement.inspection import Inspected, inspect, read_tflite
from publisher.learning.measurement.sandbox import run
from publisher.learning.progress import OnProgress, Steps, silent
from publisher.learning.recipe.recipe import Recipe
from publisher.learning.training.lineage import kept_files, lineage_of, lineage_of_file, lineage_of_rungs
from publisher.learning.training.train import TrainingResult
from publisher.learning.training.warm_start import Start
from publisher.learning.variants.rung import Rung
from publisher.learning.variants.schedule import Schedule
from publisher.learning.variants.variant_spec import (
    PARENT as PARENT,  # the first of every ladder is also named by who makes without one
)

Choose = Callable[[Mapping[str, Figures]], Selection]
VARIANTS: Final = ("float32", "int8")  # where nobody chooses
BARE: Final = "original"  # the one variant of a model file that was brought along


@dataclass(frozen=True, slots=True)
class MadeVariant:
    """One file of a version, measured. `tolerance` is the largest difference from the golden outputs."""

    name: str
    precision: str
    tflite: bytes
    tolerance: float
    measured: Measured
    requires: Requirements


@dataclass(frozen=True, slots=True)
class Made:
    """A version before it is signed. `accuracy` is the parent's on the held-back set, None where nothing is known.

    `lineage` is plain JSON: recipe, data and settings by hash and value, library versions, history. `kept` are files
    that it names by hash, for later versions to go on from.
    """

    contract: Contract
    labels: tuple[str, ...]
    golden: bytes
    golden_samples: int
    variants: tuple[MadeVariant, ...]
    accuracy: float | None
    lineage: dict[str, Any]
    kept: tuple[bytes, ...] = ()
    statistics: InputStatistics | None = None  # of what it was trained on, or of the data given along


def make_from_recipe(
    recipe: Recipe,
    *,
    variants: Sequence[str] = VARIANTS,
    seed: int | None = None,
    epochs: int | None = None,
    scramble_labels: bool | None = None,
    start: Start | None = None,
    kept: Kept | None = None,
    choose: Choose | None = None,
    on_progress: OnProgress = silent,
) -> Made:
    """Train, from `start` where there is one, and make the `variants`, which are rungs of the ladder, by name.

    What is given stands in place of the recipe's settings; `kept` is an earlier calibration set; `choose` takes some of
    the variants by their numbers, and then one that this network cannot have is left out. Raises BadRecipe, BadModel;
    BadInput for a variant that is none, or that this network cannot have.
    """
    steps = Steps(1, on_progress)
    ladder = climb_recipe(
        recipe, variants, seed=seed, epochs=epochs, scramble_labels=scramble_labels, start=start, kept=kept, steps=steps
    )
    return _made(ladder, variants, steps) if choose is None else _chosen(ladder, choose, steps)


def make_from_trained(
    trained: TrainingResult, variants: Sequence[str], *, choose: Choose | None = None, on_progress: OnProgress = silent
) -> Made:
    """The same from a network that is trained already. Raises BadModel, BadInput."""
    steps = Steps(steps_of(variants, Schedule(trained.settings)) + 1, on_progress)
    ladder = climb(trained, variants, steps=steps)
    return _made(ladder, variants, steps) if choose is None else _chosen(ladder, choose, steps)


def make_from_ladder(ladder: Ladder, names: Sequence[str] | None = None, *, on_progress: OnProgress = silent) -> Made:
    """Take rungs that are made and measured already, all where no `names` are given. Raises BadInput."""
    return _made(ladder, [rung.name for rung in ladder.rungs] if names is None else names, Steps(1, on_progress))


def make_from_tflite(
    path: Path, *, data: Path | None = None, labels: Sequence[str] = (), on_progress: OnProgress = silent
) -> Made:
    """Take a model file as it is; `data` is an .npz with `x` and perhaps `y`. Raises BadModel, BadInput."""
    steps = Steps(3, on_progress)
    steps.begin(f"opening {path.name}")
    tflite = read_tflite(path)
    seen = inspect(tflite, name=path.name)
    check_fit(labels, seen.contract.outputs[0].shape)
    own = read_own_data(data, seen.contract) if data is not None else None
    contract = seen.contract if own is None else ranged(seen.contract, own)
    steps.end("drawing the golden set")
    count = sample_count(contract, 1, path.name)
    inputs = invented(contract, count) if own is None else [drawn(x, own.y, count) for x in own.inputs]
    golden = make_golden({BARE: Candidate(tflite, path.name, seen.output_slack)}, inputs)
    steps.end(f"measuring {path.name}")
    measured, requires = _measured_bare(tflite, path.name, own, inputs)
    variant = MadeVariant(BARE, seen.precision, tflite, golden.tolerances[BARE], measured, requires)
    steps.end("measured")
    return Made(
        contract=contract,
        labels=tuple(labels),
        golden=golden.content,
        golden_samples=golden.samples,
        variants=(variant,),
        accuracy=measured.accuracy,
        lineage=lineage_of_file(path, tflite, data),
        statistics=None if own is None else input_statistics(own.inputs[0]),
    )


def _made(ladder: Ladder, names: Sequence[str], steps: Steps) -> Made:
    steps.begin("drawing the golden set")
    trained, rungs = ladder.trained, [ladder.rung(name) for name in dict.fromkeys(names)]
    parent, *others = (_inspected(rung, trained) for rung in (ladder.parent, *rungs))
    for other in others:
        parent.contract.check_successor(other.contract)
    candidates = {
        rung.name: Candidate(rung.tflite, f"the variant {rung.name}", seen.output_slack)
        for rung, seen in zip(rungs, others, strict=True)
    }
    golden = _golden(trained, parent.contract, candidates)
    kept = ladder.kept(list(candidates)) if trained.source == "recipe" else {}  # --from goes on from nothing else
    steps.end("drew the golden set")
    return Made(
        contract=parent.contract,
        labels=trained.recipe.labels,
        golden=golden.content,
        golden_samples=golden.samples,
        variants=tuple(_variant(rung, golden.tolerances[rung.name]) for rung in rungs),
        accuracy=ladder.parent.accuracy,
        lineage=lineage_of(trained) | lineage_of_rungs(rungs, ladder.continued(list(candidates)), kept),
        kept=(*kept_files(trained), *kept.values()),
        statistics=input_statistics(trained.recipe.data.x_train),
    )


def _chosen(ladder: Ladder, choose: Choose, steps: Steps) -> Made:
    selection = choose({rung.name: rung.figures() for rung in ladder.rungs})
    made = _made(ladder, selection.shipped, steps)
    lost = [f"{rung.name} is not possible: {rung.reason}" for rung in ladder.impossible]
    told = [f"left out: {reason}" for reason in (*lost, *selection.left_out.values())]
    return dataclasses.replace(made, lineage={**made.lineage, "not_done": told})


def _inspected(rung: Rung, trained: TrainingResult) -> Inspected:
    return inspect(rung.tflite, name=f"the variant {rung.name}", value_range=trained.recipe.data.value_range)


def _golden(trained: TrainingResult, contract: Contract, candidates: dict[str, Candidate]) -> GoldenSet:
    data = trained.recipe.data
    count = sample_count(contract, len(candidates), f"the recipe {trained.recipe.name}")
    return make_golden(candidates, [drawn(data.x_test, data.y_test, count)])


def _variant(rung: Rung, tolerance: float) -> MadeVariant:
    return MadeVariant(rung.name, rung.precision, rung.tflite, tolerance, rung.measured(), rung.requires())


def _measured_bare(tflite: bytes, name: str, own: OwnData | None, inputs: list[Any]) -> tuple[Measured, Requirements]:
    if own is not None and own.y is not None:
        evaluated = evaluate(tflite, own.inputs[0], own.y, name=name)
        return evaluated.measured, evaluated.requires
    ran = run(tflite, inputs, name)
    measured = Measured(latency_ms_p50=ran.latency_ms_p50, latency_ms_p95=ran.latency_ms_p95)
    return measured, Requirements(memory_bytes=ran.memory_bytes)
