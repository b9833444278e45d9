"""The recipe of the stored pair: eight invented values, three machines."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

labels = ["fan", "pump", "saw"]
train_settings = {"epochs": 12, "batch_size": 16, "learning_rate": 0.01, "seed": 1}


def load_data() -> tuple[Array, Array, Array, Array]:
    """x_train, y_train, x_test, y_test: 300 samples to train on, 150 held back."""
    rng = np.random.default_rng(4)
    y = np.arange(450) % 3
    centres = rng.uniform(0.1, 0.9, (3, 8))
    x = (centres[y] + rng.normal(0, 0.15, (450, 8))).astype(np.float32)
    return x[:300], y[:300], x[300:], y[300:]


def build_model() -> Any:
    """8-12-3."""
    import tf_keras

    return tf_keras.Sequential(
        [
            tf_keras.Input(shape=(8,)),
            tf_keras.layers.Dense(12, activation="relu"),
            tf_keras.layers.Dense(3, activation="softmax"),
        ]
    )
