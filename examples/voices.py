"""A recipe over time steps: tells nine speakers apart by how they say a vowel.

    pip install sktime     # brings the recordings: the Japanese Vowels of UCI
    publisher release voices --version 1.0.0 --recipe examples/voices.py

A sample is what the front end of a keyword spotter gives: a sound of 7 to 29 frames,
each of 12 cepstral coefficients. A keyword is learnt in the same way, from recordings
with and without it. An application fills up its frames with `padded` before `predict`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

FRAMES = 29  # of the longest sound
COEFFICIENTS = 12

labels = [f"speaker {number}" for number in range(1, 10)]
train_settings = {"epochs": 30, "batch_size": 16, "learning_rate": 0.005, "seed": 1}


def load_data() -> tuple[Array, Array, Array, Array]:
    """x_train, y_train, x_test, y_test: 270 sounds to learn from, 370 held back."""
    return *read_sounds("TRAIN"), *read_sounds("TEST")


def read_sounds(half: str) -> tuple[Array, Array]:
    """Each line: coefficients over time, with colons between, and the class."""
    path = data_folder() / "JapaneseVowels" / f"JapaneseVowels_{half}.ts"
    lines = [line.split(":") for line in path.read_text().splitlines() if line and line[0] not in "#@"]
    sounds = [np.array([series.split(",") for series in line[:-1]], np.float32).T for line in lines]
    return np.stack([padded(sound) for sound in sounds]), np.array([int(line[-1]) - 1 for line in lines])


def data_folder() -> Path:
    """Where the package has its data; it is not imported."""
    package = importlib.util.find_spec("sktime")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("No module named 'sktime'", name="sktime")
    return Path(package.origin).parent / "datasets" / "data"


def padded(sound: Array) -> Array:
    """(frames, coefficients) with silence, which is zeros, in front."""
    return np.pad(sound[-FRAMES:], ((FRAMES - len(sound[-FRAMES:]), 0), (0, 0)))


def build_model() -> Any:
    """A convolution over five frames, and an LSTM: a loop on the device."""
    import tf_keras

    return tf_keras.Sequential(
        [
            tf_keras.Input(shape=(FRAMES, COEFFICIENTS)),
            tf_keras.layers.Conv1D(24, 5, padding="same", activation="relu"),
            tf_keras.layers.LSTM(32),
            tf_keras.layers.Dense(len(labels), activation="softmax"),
        ]
    )


def build_student() -> Any:
    """Convolutions alone, which int8 suits better than a loop."""
    import tf_keras

    return tf_keras.Sequential(
        [
            tf_keras.Input(shape=(FRAMES, COEFFICIENTS)),
            tf_keras.layers.Conv1D(16, 5, padding="same", activation="relu"),
            tf_keras.layers.MaxPooling1D(4),
            tf_keras.layers.Conv1D(16, 3, padding="same", activation="relu"),
            tf_keras.layers.GlobalAveragePooling1D(),
            tf_keras.layers.Dense(len(labels), activation="softmax"),
        ]
    )
