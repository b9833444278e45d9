"""Trains a network on, the way its recipe is trained: what pruning, clustering and quantizing do between their steps.

Needs TensorFlow. Never touches the network that it starts from: each technique works on a `copied` one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from protocol.errors import BadRecipe
from publisher.learning.data.dataset import Array, Floats, Labels
from publisher.learning.quiet_tensorflow import quiet
from publisher.learning.tensorflow_import import load_tf_keras

OnEpoch = Callable[[], None]


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What is learnt, and how: `x` (samples, features …) and the classes `y` (samples,)."""

    x: Floats
    y: Labels
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    on_epoch: OnEpoch

    @property
    def batches(self) -> int:
        """How often weights are changed in all."""
        return self.epochs * math.ceil(len(self.x) / self.batch_size)

    def begin(self) -> None:
        """Let what is random, and the names of what is built, depend on the seed alone."""
        tf_keras = load_tf_keras()
        tf_keras.backend.clear_session()
        tf_keras.utils.set_random_seed(self.seed)


def tune(network: Any, lesson: Lesson, *, callbacks: Sequence[Any] = ()) -> None:
    """Train `network` in place to tell the classes. Raises BadRecipe when that ends in no numbers."""
    fit(network, lesson, lesson.y, loss="sparse_categorical_crossentropy", callbacks=callbacks)


def fit(network: Any, lesson: Lesson, wanted: Array, *, loss: Any, callbacks: Sequence[Any] = ()) -> None:
    """The same towards something else than the classes: `wanted` (samples, …), whatever `loss` makes of it."""
    tf_keras = load_tf_keras()
    told = tf_keras.callbacks.LambdaCallback(on_epoch_end=lambda _epoch, _logs: lesson.on_epoch())
    with quiet():
        network.compile(optimizer=tf_keras.optimizers.Adam(lesson.learning_rate), loss=loss)
        network.fit(
            lesson.x,
            wanted,
            epochs=lesson.epochs,
            batch_size=lesson.batch_size,
            verbose=0,
            callbacks=[*callbacks, told],
        )
    if not all(np.isfinite(weight).all() for weight in network.get_weights() if weight.dtype.kind == "f"):
        raise BadRecipe("training it further diverged", hint="lower learning_rate in train_settings")


def copied(network: Any) -> Any:
    """The same network with weights of its own."""
    tf_keras = load_tf_keras()
    with quiet():
        copy = tf_keras.models.clone_model(network)
        copy.set_weights(network.get_weights())
    return copy
