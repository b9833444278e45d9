"""Models that a user trained elsewhere: a version made of a Keras file or a SavedModel, and their networks to train on.

Half of the data that comes along shows quantizers their ranges, and may be trained on; the other half measures. They
are the same halves every time. A bare .tflite file is taken as it is by `making`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from protocol.errors import BadInput, BadModel, FerryError
from protocol.messages.manifest import Contract, Measured, Requirements
from publisher.learning.artifacts.build import PARENT, Made, MadeVariant
from publisher.learning.conversion.dry_run import check_converts
from publisher.learning.conversion.keras_model_file import open_network
from publisher.learning.conversion.keras_sandbox import Converted, convert_file, unopened
from publisher.learning.data.calibration import Calibration, Kept, calibration
from publisher.learning.data.dataset import Data, Floats, Labels
from publisher.learning.data.input_statistics import input_statistics
from publisher.learning.data.labels import check_fit
from publisher.learning.data.npz_data import OwnData, ranged, read_own_data, read_samples
from publisher.learning.measurement.evaluation import evaluate
from publisher.learning.measurement.golden_set import Candidate, drawn, invented, make_golden, sample_count
from publisher.learning.measurement.inspection import Inspected, inspect
from publisher.learning.measurement.sandbox import run
from publisher.learning.progress import OnProgress, Steps, silent
from publisher.learning.recipe.recipe import Recipe
from publisher.learning.recipe.train_settings import TrainSettings
from publisher.learning.tensorflow_import import load_tf_keras, versions
from publisher.learning.training.lineage import hash_of, lineage_of_keras
from publisher.learning.training.train import TrainingResult, accuracy_of
from publisher.learning.training.warm_start import calibration_npz

Indexes = npt.NDArray[np.int64]
HALVES_SEED: Final = 13
HALVED_MIN: Final = 40  # fewer samples than this both show and measure
BESIDES: Final = 3  # steps beside the measuring of each variant


def make_from_keras(
    path: Path,
    *,
    data: Path | None = None,
    labels: Sequence[str] = (),
    trust_code: bool = False,
    kept: Kept | None = None,
    on_progress: OnProgress = silent,
) -> Made:
    """Convert a .h5 or .keras file or a SavedModel folder, and measure; `data` is an .npz with `x` and perhaps `y`.

    `kept` is an earlier version's calibration set. Raises BadModel, BadInput.
    """
    steps = Steps(BESIDES + 2, on_progress)
    steps.begin(f"converting {path.name}")
    ranges = None if data is None else _calibration(data, kept)
    converted = convert_file(path, None if ranges is None else ranges.samples, trust_code=trust_code)
    steps.end(f"converted {path.name}")
    seen = {name: inspect(tflite, name=f"{name} of {path.name}") for name, tflite in converted.files.items()}
    contract = seen[PARENT].contract
    own = None if data is None else read_own_data(data, contract)
    if own is not None:
        contract = ranged(contract, own)
        own = own.taking(halves(len(own.inputs[0]))[1])
    check_fit(labels, contract.outputs[0].shape)
    return _made(path, data, ranges, converted, seen, contract, own, tuple(labels), steps)


def trained_from_keras(
    path: Path, data: Path, *, labels: Sequence[str] = (), trust_code: bool = False, kept: Kept | None = None
) -> TrainingResult:
    """The network of a Keras file as if a recipe had trained it, so that it can be pruned, clustered and quantized.

    Needs TensorFlow. Raises BadModel where the file has no layers to train, BadInput where the data has no classes `y`.
    """
    network = _tf_keras_network(path, trust_code=trust_code)
    x, y = read_samples(data)
    features, classes = network.input_shape[1:], network.output_shape[-1]
    if x.shape[1:] != features:
        raise BadInput(
            f"{data.name}: samples of x have shape {list(x.shape[1:])}, the model takes {list(features)}",
            hint="prepare the data as the model was trained",
        )
    if y is None or int(y.max()) >= classes:
        what = "has no y" if y is None else f"has the class {int(y.max())}, but the model knows {classes}, from 0"
        raise BadInput(f"{data.name} {what}", hint="give each sample its class: numpy.savez(FILE, x=…, y=…)")
    check_fit(labels, network.output_shape)
    shown, measuring = halves(len(x))
    recipe = Recipe(
        name=path.stem,
        path=path,
        sha256=hash_of(path),
        data=Data(x[shown], y[shown], x[measuring], y[measuring]),
        labels=tuple(labels) or tuple(map(str, range(classes))),
        settings=TrainSettings(),
        build_model=lambda: _tf_keras_network(path, trust_code=trust_code),
    )
    return TrainingResult(
        model=network,
        recipe=recipe,
        settings=recipe.settings,
        history=(),
        accuracy=accuracy_of(network, recipe),
        data_sha256=hash_of(data),
        recipe_sha256=recipe.sha256,
        versions=versions(),
        calibration=calibration(recipe.data.x_train, kept),
        source="keras",
    )


def halves(count: int) -> tuple[Indexes, Indexes]:
    """Which of `count` samples show and which measure."""
    order = np.random.default_rng(HALVES_SEED).permutation(count)
    return (order, order) if count < HALVED_MIN else (order[: count // 2], order[count // 2 :])


def _calibration(data: Path, kept: Kept | None) -> Calibration | None:
    """From the half that shows; None for a model of more inputs than one."""
    try:
        x, _ = read_samples(data)
    except BadInput:
        return None  # the model's own contract tells what is wrong with it, if anything is
    return calibration(x[halves(len(x))[0]], kept)


def _tf_keras_network(path: Path, *, trust_code: bool) -> Any:
    try:
        network = open_network(path, trust_code=trust_code)
    except FerryError:
        raise
    except Exception as failure:
        raise unopened(path, f"{type(failure).__name__}: {' '.join(str(failure).split())[:300]}") from failure
    if not isinstance(network, load_tf_keras().Model):
        raise BadModel(
            f"{path.name} has no layers of Keras 2, so that nothing in it can be trained, pruned or clustered",
            hint="release it as it is with --keras (float32 and int8), or save it with tf_keras",
        )
    if not network.inputs:
        raise BadModel(
            f"{path.name} holds a subclassed model, of which nothing can be trained, pruned or clustered",
            hint="release it as it is with --keras; or save it as tf_keras.Model(inputs, outputs)",
        )
    if not isinstance(network.input_shape, tuple) or len(network.output_shape) != 2:
        raise BadModel(
            f"{path.name} is no classifier of one input",
            hint="release it as it is with --keras; only classifiers of one input are trained here",
        )
    if network.input_shape[0] is not None:
        raise BadModel(
            f"{path.name} takes {network.input_shape[0]} samples at a time, no more and no fewer",
            hint="release it as it is with --keras, or save it with an Input that leaves the batch out",
        )
    check_converts(network, path.name, BadModel)
    return network


def _made(
    path: Path,
    data: Path | None,
    ranges: Calibration | None,
    converted: Converted,
    seen: dict[str, Inspected],
    contract: Contract,
    own: OwnData | None,
    labels: tuple[str, ...],
    steps: Steps,
) -> Made:
    steps.begin("drawing the golden set")
    candidates = {
        name: Candidate(tflite, f"{name} of {path.name}", seen[name].output_slack)
        for name, tflite in converted.files.items()
    }
    count = sample_count(contract, len(candidates), path.name)
    inputs = invented(contract, count) if own is None else [drawn(x, own.y, count) for x in own.inputs]
    golden = make_golden(candidates, inputs)
    steps.end("drew the golden set")
    variants: list[MadeVariant] = []
    parent: Labels | None = None
    for name, candidate in candidates.items():
        steps.begin(f"measuring {name}")
        measured, requires, answers = _measured(candidate, own, inputs, parent)
        parent = answers if parent is None else parent
        variants.append(
            MadeVariant(name, seen[name].precision, candidate.tflite, golden.tolerances[name], measured, requires)
        )
        steps.end(f"measured {name}")
    return Made(
        contract=contract,
        labels=labels,
        golden=golden.content,
        golden_samples=golden.samples,
        variants=tuple(variants),
        accuracy=variants[0].measured.accuracy,
        lineage=lineage_of_keras(path, data, ranges, converted.left_out),
        kept=() if ranges is None else (calibration_npz(ranges.samples),),
        statistics=None if own is None else input_statistics(own.inputs[0]),
    )


def _measured(
    candidate: Candidate, own: OwnData | None, inputs: list[Floats], parent: Labels | None
) -> tuple[Measured, Requirements, Labels | None]:
    """With classes where they are known; else how fast it is alone."""
    if own is not None and own.y is not None:
        evaluated = evaluate(candidate.tflite, own.inputs[0], own.y, name=candidate.title, parent_answers=parent)
        return evaluated.measured, evaluated.requires, evaluated.answers
    ran = run(candidate.tflite, inputs, candidate.title)
    measured = Measured(latency_ms_p50=ran.latency_ms_p50, latency_ms_p95=ran.latency_ms_p95)
    return measured, Requirements(memory_bytes=ran.memory_bytes), None
