"""Fashion-MNIST: 70,000 pictures of clothes of 28x28, for the network of `digits_cnn`.

Keras fetches the files once, into ~/.keras/datasets/fashion-mnist (or $KERAS_HOME/…).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from publisher.learning.data import keras_datasets
from publisher.recipes import digits_cnn

labels = ["T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
train_settings = {"epochs": 5, "batch_size": 128, "learning_rate": 0.001, "seed": 1}

build_model = digits_cnn.build_model
build_student = digits_cnn.build_student


def load_data() -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """60,000 training, 10,000 held-back samples; x (samples, 28, 28, 1) in 0..1."""
    x_train, y_train, x_test, y_test = keras_datasets.fashion_mnist()
    return _images(x_train), y_train, _images(x_test), y_test


def _images(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return (images[..., None] / np.float32(255)).astype(np.float32)
