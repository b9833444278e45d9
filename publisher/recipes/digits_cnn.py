"""The digits as images of (28, 28, 1), for a small convolutional network."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from publisher.recipes import digits

labels = digits.labels
train_settings = {"epochs": 12, "batch_size": 32, "learning_rate": 0.003, "seed": 1}

SHAPE = (digits.SIDE_PIXELS, digits.SIDE_PIXELS, 1)


def load_data() -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """1,300 training, 497 held-back samples; x (samples, 28, 28, 1) float32 in 0..1."""
    x_train, y_train, x_test, y_test = digits.load_data()
    return x_train.reshape(-1, *SHAPE), y_train, x_test.reshape(-1, *SHAPE), y_test


def build_model() -> Any:
    """Two convolutions that halve the image, 32 units, 10 classes: 26,698 weights."""
    import tf_keras

    return tf_keras.Sequential(
        [
            tf_keras.Input(shape=SHAPE),
            tf_keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
            tf_keras.layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(32, activation="relu"),
            tf_keras.layers.Dense(10, activation="softmax"),
        ]
    )


def build_student() -> Any:
    """A quarter of the channels and nothing between them and the classes."""
    import tf_keras

    return tf_keras.Sequential(
        [
            tf_keras.Input(shape=SHAPE),
            tf_keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
            tf_keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(10, activation="softmax"),
        ]
    )
