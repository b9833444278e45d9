"""A template for your own recipe: classifies wines of three vineyards.

    publisher release wine --version 1.0.0 --recipe examples/own_recipe.py

Load your data in `load_data` and define your network in `build_model`; the rest is
optional. An application calls `preprocess` on its input before `predict`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

labels = ["north", "middle", "south"]
train_settings = {"epochs": 60, "batch_size": 16, "learning_rate": 0.005, "seed": 1}

# the highest value of each measurement: alcohol, malic acid, ash ... proline
HIGHEST = np.array([14.9, 5.8, 3.3, 30, 162, 3.9, 5.1, 0.66, 3.6, 13, 1.72, 4.0, 1680], np.float32)


def load_data() -> tuple[Array, Array, Array, Array]:
    """x_train, y_train, x_test, y_test: float32 samples, classes from 0."""
    from sklearn.datasets import load_wine  # your own: numpy.load, numpy.loadtxt, a folder of images ...

    wine = load_wine()
    order = np.random.default_rng(0).permutation(len(wine.target))  # a fixed split keeps versions comparable
    x, y = wine.data[order].astype(np.float32), wine.target[order]
    return x[:130], y[:130], x[130:], y[130:]


def preprocess(x: Array) -> Array:
    """Scale every measurement to about 0..1."""
    scaled: Array = x / HIGHEST
    return scaled


def build_model() -> Any:
    """A small network, whose last layer gives one probability per label."""
    import tf_keras

    return tf_keras.Sequential(
        [
            tf_keras.Input(shape=(13,)),
            tf_keras.layers.Dense(24, activation="relu"),
            tf_keras.layers.Dense(len(labels), activation="softmax"),
        ]
    )
