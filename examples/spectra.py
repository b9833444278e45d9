"""A recipe for a measured value: the fat in meat from its near-infrared spectrum.

    pip install sktime     # brings the measurements of the Tecator analyser
    publisher release spectra --version 1.0.0 --recipe examples/spectra.py

A sample has the absorbance at 100 wavelengths, the answer is a number: percent of fat.
An application calls `preprocess` on a spectrum before `predict`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

WAVELENGTHS = 100  # from 850 to 1050 nm

task = "regression"
labels = ["fat, percent"]
train_settings = {"epochs": 150, "batch_size": 16, "learning_rate": 0.003, "seed": 1}


def load_data() -> tuple[Array, Array, Array, Array]:
    """x_train, y_train, x_test, y_test: 172 spectra to learn from, 43 held back."""
    return *read_spectra("TRAIN"), *read_spectra("TEST")


def read_spectra(half: str) -> tuple[Array, Array]:
    """Each line: 100 absorbances, a colon, the percentage."""
    path = data_folder() / "Tecator" / f"Tecator_{half}.ts"
    lines = [line.split(":") for line in path.read_text().splitlines() if line and line[0] not in "#@"]
    x = np.array([line[0].split(",") for line in lines], np.float32)
    return x, np.array([float(line[-1]) for line in lines], np.float32)


def data_folder() -> Path:
    """Where the package has its data; it is not imported."""
    package = importlib.util.find_spec("sktime")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("No module named 'sktime'", name="sktime")
    return Path(package.origin).parent / "datasets" / "data"


def preprocess(x: Array) -> Array:
    """The curve without its level and size, which depend on how the meat lay."""
    curve = x - x.mean(axis=-1, keepdims=True)
    scaled: Array = (curve / x.std(axis=-1, keepdims=True))[..., None].astype(np.float32)
    return scaled


def build_model() -> Any:
    """Two convolutions along the wavelengths, and one number: no activation."""
    import tf_keras

    return tf_keras.Sequential(
        [
            tf_keras.Input(shape=(WAVELENGTHS, 1)),
            tf_keras.layers.Conv1D(8, 7, strides=2, activation="relu"),
            tf_keras.layers.Conv1D(16, 5, strides=2, activation="relu"),
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(32, activation="relu"),
            tf_keras.layers.Dense(1),
        ]
    )


def build_student() -> Any:
    """The same with a quarter of the channels."""
    import tf_keras

    return tf_keras.Sequential(
        [
            tf_keras.Input(shape=(WAVELENGTHS, 1)),
            tf_keras.layers.Conv1D(4, 7, strides=3, activation="relu"),
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(16, activation="relu"),
            tf_keras.layers.Dense(1),
        ]
    )
