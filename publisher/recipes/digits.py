"""scikit-learn's handwritten digits, upscaled to 28x28; network 784-128-64-10."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

SIDE_PIXELS = 28
TRAIN_SAMPLES = 1_300  # 497 are held back
SPLIT_SEED = 20  # the split never changes, so that versions stay comparable

labels = [str(digit) for digit in range(10)]
train_settings = {"epochs": 20, "batch_size": 32, "learning_rate": 0.001, "seed": 1}


def load_data() -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """1,300 training and 497 held-back samples; x (samples, 784) float32 in 0..1."""
    from sklearn.datasets import load_digits

    small = load_digits()
    order = np.random.default_rng(SPLIT_SEED).permutation(len(small.target))
    x = upscale(small.images / 16.0).reshape(-1, SIDE_PIXELS * SIDE_PIXELS)[order]
    y = small.target[order]
    return x[:TRAIN_SAMPLES], y[:TRAIN_SAMPLES], x[TRAIN_SAMPLES:], y[TRAIN_SAMPLES:]


def upscale(images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """(samples, 8, 8) to (samples, 28, 28), straight lines between the pixels."""
    side = images.shape[1]
    wanted = np.linspace(0, side - 1, SIDE_PIXELS)
    weights = np.stack([np.interp(wanted, np.arange(side), pixel) for pixel in np.eye(side)], axis=1)
    upscaled: npt.NDArray[np.float32] = (weights @ images @ weights.T).astype(np.float32)
    return upscaled


def build_model() -> Any:
    """784-128-64-10: 109,386 weights."""
    import tf_keras

    return tf_keras.Sequential(
        [
            tf_keras.Input(shape=(SIDE_PIXELS * SIDE_PIXELS,)),
            tf_keras.layers.Dense(128, activation="relu"),
            tf_keras.layers.Dense(64, activation="relu"),
            tf_keras.layers.Dense(10, activation="softmax"),
        ]
    )


def build_student() -> Any:
    """784-16-10: 12,730 weights, to learn from the network above."""
    import tf_keras

    return tf_keras.Sequential(
        [
            tf_keras.Input(shape=(SIDE_PIXELS * SIDE_PIXELS,)),
            tf_keras.layers.Dense(16, activation="relu"),
            tf_keras.layers.Dense(10, activation="softmax"),
        ]
    )
