"""MNIST: 70,000 handwritten digits of 28x28, for the network of `digits`.

Keras fetches the file once, into ~/.keras/datasets (or $KERAS_HOME/datasets).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from publisher.learning.data import keras_datasets
from publisher.recipes import digits

labels = digits.labels
train_settings = {"epochs": 5, "batch_size": 128, "learning_rate": 0.001, "seed": 1}

build_model = digits.build_model
build_student = digits.build_student


def load_data() -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """60,000 training, 10,000 held-back samples; x (samples, 784) float32 in 0..1."""
    x_train, y_train, x_test, y_test = keras_datasets.mnist()
    return _flat(x_train), y_train, _flat(x_test), y_test


def _flat(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return (images.reshape(len(images), -1) / np.float32(255)).astype(np.float32)
