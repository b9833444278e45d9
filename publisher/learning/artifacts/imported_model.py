"""Builds a version from a Keras file or SavedModel, or trains its network further."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from protocol.errors import BadInput, BadModel, FerryError
from publisher.learning.artifacts.build import BuiltVariant, BuiltVersion, measured_data, measured_variant
from publisher.learning.artifacts.golden import draw_golden_set
from publisher.learning.compression.training_work import affordable
from publisher.learning.conversion.dry_run import check_converts
from publisher.learning.conversion.keras_model_file import open_network
from publisher.learning.conversion.keras_sandbox import convert_file, unopened
from publisher.learning.data.calibration import Calibration, KeptCalibration, choose_calibration
from publisher.learning.data.dataset import Data
from publisher.learning.data.input_statistics import statistics_of_data
from publisher.learning.data.labels import check_fit, fitting
from publisher.learning.data.npz_data import read_samples, read_user_data, with_value_range
from publisher.learning.measurement.evaluation import Answers
from publisher.learning.measurement.golden_set import Candidate
from publisher.learning.measurement.inspection import inspect
from publisher.learning.progress import OnProgress, Steps, ignore_progress
from publisher.learning.recipe.recipe import Recipe
from publisher.learning.recipe.train_settings import TrainSettings
from publisher.learning.tasks.declaration import TaskRequest
from publisher.learning.tasks.outputs import Hints
from publisher.learning.tensorflow_import import load_tf_keras, versions
from publisher.learning.training.lineage import hash_of, lineage_of_keras
from publisher.learning.training.train import TrainingResult, accuracy_of
from publisher.learning.training.warm_start import calibration_npz
from publisher.learning.variants.variant_spec import PARENT

Indexes = npt.NDArray[np.int64]
HALVES_SEED: Final = 13
HALVED_MIN: Final = 40  # fewer samples than this both calibrate and measure
STEPS_MAX: Final = 4  # convert, draw the golden set, measure two variants


def build_from_keras(
    path: Path,
    *,
    data: Path | None = None,
    labels: Sequence[str] = (),
    trust_code: bool = False,
    kept: KeptCalibration | None = None,
    task: TaskRequest = TaskRequest(),  # noqa: B008 - frozen
    on_progress: OnProgress = ignore_progress,
) -> BuiltVersion:
    """Convert a .h5 or .keras file or a SavedModel, and measure it on half of `data`.

    `kept` is an earlier version's calibration set. Raises BadModel, BadInput.
    """
    steps = Steps(STEPS_MAX, on_progress)
    steps.begin(f"converting {path.name}")
    ranges = None if data is None else _calibration(data, kept)
    converted = convert_file(path, None if ranges is None else ranges.samples, trust_code=trust_code)
    steps.end(f"converted {path.name}")
    inspections = {name: inspect(tflite, name=f"{name} of {path.name}") for name, tflite in converted.files.items()}
    contract = inspections[PARENT].contract
    user_data = None if data is None else read_user_data(data, contract)
    if user_data is not None:
        contract = with_value_range(contract, user_data)
        user_data = user_data.select(halves(len(user_data.inputs[0]))[1])
    labels = fitting(labels, contract.outputs[0].shape)
    check_fit(labels, contract.outputs[0].shape)
    candidates = {
        name: Candidate(tflite, f"{name} of {path.name}", inspections[name]) for name, tflite in converted.files.items()
    }
    steps.begin("drawing the golden set")
    classes = user_data is not None and user_data.classes is not None
    hints = Hints(path.name, len(labels), classes, operations=candidates[PARENT].inspection.operations)
    contract, inputs, golden = draw_golden_set(contract, candidates, user_data, hints, task)
    steps.end("drew the golden set")
    variants: list[BuiltVariant] = []
    measured_on = measured_data(user_data, contract, labels, data)
    parent: Answers | None = None
    for name, candidate in candidates.items():
        steps.begin(f"measuring {name}")
        variant, answers = measured_variant(name, candidate, contract, golden, measured_on, inputs, parent)
        parent = answers if parent is None else parent
        variants.append(variant)
        steps.end(f"measured {name}")
    return BuiltVersion(
        contract=contract,
        labels=tuple(labels),
        golden=golden,
        variants=tuple(variants),
        accuracy=variants[0].measured.accuracy,
        lineage=lineage_of_keras(path, data, ranges, converted.left_out),
        kept=() if ranges is None else (calibration_npz(ranges.samples),),
        statistics=None if user_data is None else statistics_of_data(user_data.inputs[0], contract.inputs[0].shape),
        told=(*inspections[PARENT].notes, *golden.notes),
    )


def trained_from_keras(
    path: Path, data: Path, *, labels: Sequence[str] = (), trust_code: bool = False, kept: KeptCalibration | None = None
) -> TrainingResult:
    """The network of a Keras file, as if a recipe had trained it, for a ladder.

    `data` has classes `y`. Raises BadModel without layers to train, BadInput.
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
    labels = fitting(labels, network.output_shape)
    check_fit(labels, network.output_shape)
    calibrating, measuring = halves(len(x))
    recipe = Recipe(
        name=path.stem,
        path=path,
        sha256=hash_of(path),
        data=Data(x[calibrating], y[calibrating], x[measuring], y[measuring]),
        labels=tuple(labels) or tuple(map(str, range(classes))),
        settings=affordable(network, len(calibrating), TrainSettings()),
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
        calibration=choose_calibration([recipe.data.x_train], kept),
        source="keras",
    )


def halves(count: int) -> tuple[Indexes, Indexes]:
    """Which of `count` samples calibrate and train, and which measure; a fixed draw."""
    order = np.random.default_rng(HALVES_SEED).permutation(count)
    return (order, order) if count < HALVED_MIN else (order[: count // 2], order[count // 2 :])


def _calibration(data: Path, kept: KeptCalibration | None) -> Calibration | None:
    """From the calibrating half; None for a model of more than one input."""
    try:
        x, _ = read_samples(data)
    except BadInput:
        return None  # checked against the model's contract later
    return choose_calibration([x[halves(len(x))[0]]], kept)


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
