"""Trains networks further, in place: give it a `copy_network`. Needs TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from protocol.errors import BadRecipe
from publisher.learning.data.dataset import Array, Floats
from publisher.learning.data.network_inputs import as_keras_takes
from publisher.learning.quiet_tensorflow import silence_tensorflow
from publisher.learning.tensorflow_import import load_tf_keras

OnEpoch = Callable[[], None]
BATCH: Final = 256  # of predictions


@dataclass(frozen=True, slots=True, eq=False)
class TrainingJob:
    """Samples and their truths `y`, the objective's loss, and settings.

    `x` has an array (samples, features …) for each input, in the network's order.
    """

    x: Sequence[Floats]
    y: Array
    loss: str
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    on_epoch: OnEpoch

    @property
    def batches(self) -> int:
        return self.epochs * math.ceil(len(self.x[0]) / self.batch_size)

    def reset_keras(self) -> None:
        """Make random numbers and the names of new layers depend on the seed alone."""
        tf_keras = load_tf_keras()
        tf_keras.backend.clear_session()
        tf_keras.utils.set_random_seed(self.seed)


def fine_tune(network: Any, job: TrainingJob, *, callbacks: Sequence[Any] = ()) -> None:
    """Train `network` in place on the truths. Raises BadRecipe if it diverges."""
    fit(network, job, job.y, loss=job.loss, callbacks=callbacks)


def fit(network: Any, job: TrainingJob, targets: Array, *, loss: Any, callbacks: Sequence[Any] = ()) -> None:
    """The same with other `targets` (samples, …) and `loss`."""
    tf_keras = load_tf_keras()
    progress = tf_keras.callbacks.LambdaCallback(on_epoch_end=lambda _epoch, _logs: job.on_epoch())
    with silence_tensorflow():
        network.compile(optimizer=tf_keras.optimizers.Adam(job.learning_rate), loss=loss)
        network.fit(
            as_keras_takes(job.x),
            targets,
            epochs=job.epochs,
            batch_size=job.batch_size,
            verbose=0,
            callbacks=[*callbacks, progress],
        )
    if not all(np.isfinite(weight).all() for weight in network.get_weights() if weight.dtype.kind == "f"):
        raise BadRecipe("training it further diverged", hint="lower learning_rate in train_settings")


def predict(network: Any, inputs: Sequence[Floats]) -> Floats:
    """The output (samples, …) for inputs in the network's order."""
    with silence_tensorflow():
        output: Floats = network.predict(as_keras_takes(inputs), batch_size=BATCH, verbose=0)
    return output


def copy_network(network: Any) -> Any:
    tf_keras = load_tf_keras()
    with silence_tensorflow():
        copy = tf_keras.models.clone_model(network)
        copy.set_weights(network.get_weights())
    return copy
