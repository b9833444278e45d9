"""Trains a recipe's network, and records how. Needs TensorFlow."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from protocol.errors import BadRecipe, BlobDamaged
from publisher.learning.conversion.dry_run import check_converts
from publisher.learning.data.calibration import Calibration, KeptCalibration, choose_calibration
from publisher.learning.data.dataset import Array, Floats
from publisher.learning.data.network_inputs import as_keras_takes, in_file_order, in_network_order
from publisher.learning.progress import OnProgress, ignore_progress
from publisher.learning.quiet_tensorflow import silence_tensorflow
from publisher.learning.recipe.network import build_network, build_student_network
from publisher.learning.recipe.recipe import Recipe
from publisher.learning.recipe.train_settings import BOUNDS, TrainSettings
from publisher.learning.tensorflow_import import load_tf_keras, versions
from publisher.learning.training.fine_tune import predict
from publisher.learning.training.warm_start import WarmStart, put_weights, weights_npz

FEWER_EPOCHS: Final = 4  # a quarter of a training from scratch
SMALLER_STEPS: Final = 10
WEIGHTS: Final = "trained.npz"  # names in a record
HISTORY: Final = "trained.json"
LEARNING_RATE_MIN: Final = BOUNDS["learning_rate"][0]


@dataclass(frozen=True, slots=True)
class Epoch:
    loss: float
    accuracy: float | None = None  # None where the objective has no such metric


@dataclass(frozen=True, slots=True, eq=False)
class TrainingResult:
    """A trained `tf_keras.Model`.

    `accuracy` is the task's measure (0-1) on the held-back set, by Keras.
    """

    model: Any
    recipe: Recipe
    settings: TrainSettings
    history: tuple[Epoch, ...]
    accuracy: float
    data_sha256: str
    recipe_sha256: str
    versions: dict[str, str]
    calibration: Calibration
    start: WarmStart | None = None
    source: str = "recipe"  # or "keras"

    def held_back(self, tensors: Sequence[str]) -> list[Floats]:
        """The held-back inputs in the order of a converted file's input tensors."""
        data = self.recipe.data
        return in_file_order(data.test, data.names or self.model.input_names, tensors)

    @property
    def parent(self) -> str | None:
        return None if self.start is None else self.start.version


def train(
    recipe: Recipe,
    *,
    seed: int | None = None,
    epochs: int | None = None,
    scramble_labels: bool | None = None,
    start: WarmStart | None = None,
    kept: KeptCalibration | None = None,
    record: MutableMapping[str, bytes] | None = None,
    on_progress: OnProgress = ignore_progress,
) -> TrainingResult:
    """Train the recipe, perhaps from `start`; progress counts epochs. Raises BadRecipe.

    Values that are given override its settings; with a `start` the caller provides
    them (`settings_of`). `kept` is an earlier calibration set, by default `start`'s. A
    `record` gets the trained weights; if it has them, nothing is trained again.
    """
    settings = recipe.settings.having(epochs=epochs, seed=seed, scramble_labels=scramble_labels)
    on_progress(0, settings.epochs, "preparing to train")
    if recipe.build_student is not None:
        student = build_student_network(recipe, seed=settings.seed)  # fail now, not after minutes of training
        check_converts(student, f"build_student() in {recipe.path.name}", BadRecipe)
    untrained = build_network(recipe, seed=settings.seed)
    check_converts(untrained, f"build_model() in {recipe.path.name}", BadRecipe)
    network = build_network(recipe, seed=settings.seed)  # again: a conversion uses up random numbers and names
    if start is not None:
        put_weights(network, start, f"build_model() in {recipe.path.name}")
    history = None if record is None else _restored(network, record)
    if history is None:
        history = _fit(network, recipe, settings, on_progress)
        if record is not None:
            record[WEIGHTS] = weights_npz(network)
            record[HISTORY] = json.dumps([dataclasses.asdict(epoch) for epoch in history]).encode()
    return TrainingResult(
        model=network,
        recipe=recipe,
        settings=settings,
        history=tuple(history),
        accuracy=accuracy_of(network, recipe),
        data_sha256=recipe.data.sha256(),
        recipe_sha256=recipe.sha256,
        versions=versions(),
        calibration=_calibration(recipe, network, start, kept),
        start=start,
    )


def settings_of(
    recipe: Recipe,
    start: WarmStart | None,
    *,
    epochs: int | None = None,
    seed: int | None = None,
    scramble_labels: bool | None = None,
) -> TrainSettings:
    """The recipe's settings, gentler with a `start`, overridden. Raises BadRecipe."""
    settings = recipe.settings
    if start is not None:  # small steps keep accuracy and make small deltas
        settings = dataclasses.replace(
            settings,
            epochs=max(1, settings.epochs // FEWER_EPOCHS),
            learning_rate=max(settings.learning_rate / SMALLER_STEPS, LEARNING_RATE_MIN),
        )
    return settings.having(epochs=epochs, seed=seed, scramble_labels=scramble_labels)


def _calibration(recipe: Recipe, network: Any, start: WarmStart | None, kept: KeptCalibration | None) -> Calibration:
    if kept is None and start is not None and start.calibration is not None:
        kept = KeptCalibration(start.version, start.calibration)
    return choose_calibration(in_network_order(recipe.data.train, recipe.data.names, network), kept)


def _fit(network: Any, recipe: Recipe, settings: TrainSettings, on_progress: OnProgress) -> list[Epoch]:
    tf_keras = load_tf_keras()
    metric = recipe.objective.metric
    history: list[Epoch] = []

    def end_epoch(index: int, logs: dict[str, float]) -> None:
        epoch = Epoch(float(logs["loss"]), float(logs[metric]) if metric else None)
        if not math.isfinite(epoch.loss) or _broken(network):
            raise BadRecipe(
                f"training {recipe.path.name} diverged in epoch {index + 1}: its weights or its loss are no numbers",
                hint=f"lower learning_rate in train_settings (it is {settings.learning_rate:g}), or scale the data",
            )
        history.append(epoch)
        figure = f"loss {epoch.loss:.4g}" if epoch.accuracy is None else f"accuracy {epoch.accuracy:.3f}"
        what = f"epoch {index + 1} of {settings.epochs}: {figure} on the training data"
        on_progress(index + 1, settings.epochs, what)

    with silence_tensorflow():
        network.compile(
            optimizer=tf_keras.optimizers.Adam(settings.learning_rate),
            loss=recipe.objective.loss,
            metrics=[metric] if metric else [],
        )
        network.fit(
            as_keras_takes(in_network_order(recipe.data.train, recipe.data.names, network)),
            truths_to_learn(recipe, settings),
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            verbose=0,
            callbacks=[tf_keras.callbacks.LambdaCallback(on_epoch_end=end_epoch)],
        )
    return history


def _restored(network: Any, record: MutableMapping[str, bytes]) -> list[Epoch] | None:
    """Give the network its weights from the record; None where it has none for it."""
    if WEIGHTS not in record or HISTORY not in record:
        return None
    try:
        history = [Epoch(**epoch) for epoch in json.loads(record[HISTORY])]
        put_weights(network, WarmStart("this ladder", record[WEIGHTS]), "")
    except (BadRecipe, BlobDamaged, ValueError, TypeError):
        return None
    return history


def _broken(network: Any) -> bool:
    """Whether a weight is NaN or infinite. A relu can hide NaN from the loss."""
    return not all(np.isfinite(weight).all() for weight in network.get_weights())


def truths_to_learn(recipe: Recipe, settings: TrainSettings) -> Array:
    """The truths of the training data, shuffled with `scramble_labels`."""
    if not settings.scramble_labels:
        return recipe.data.y_train
    return np.random.default_rng(settings.seed).permutation(recipe.data.y_train)


def accuracy_of(network: Any, recipe: Recipe) -> float:
    """The task's measure on the held-back set."""
    data = recipe.data
    output = predict(network, in_network_order(data.test, data.names, network))
    return float(recipe.objective.scoring(data).figure(output, data.y_test))
