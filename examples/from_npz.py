"""A recipe from an .npz file: classifies pumps by 32 values of their vibration.

    python examples/from_npz.py    # writes sample data, pumps.npz, beside this file
    publisher release pumps --version 1.0.0 --recipe examples/from_npz.py

For your own data: numpy.savez("FILE.npz", x=x, y=y), with x of (samples, values) and y
the class of each, from 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DATA = Path(__file__).with_name("pumps.npz")
VALUES = 32

labels = ["healthy", "worn", "blocked"]
train_settings = {"epochs": 15, "batch_size": 16, "learning_rate": 0.005, "seed": 1}


def load_data() -> tuple[Array, Array, Array, Array]:
    """x_train, y_train, x_test, y_test: a fixed split of 4:1."""
    with np.load(DATA, allow_pickle=False) as held:
        x, y = held["x"].astype(np.float32), held["y"]
    order = np.random.default_rng(0).permutation(len(y))
    train, test = np.split(order, [len(y) * 4 // 5])
    return x[train], y[train], x[test], y[test]


def build_model() -> Any:
    """Layers of 32, 16 and 3."""
    import tf_keras

    return tf_keras.Sequential(
        [
            tf_keras.Input(shape=(VALUES,)),
            tf_keras.layers.Dense(16, activation="relu"),
            tf_keras.layers.Dense(len(labels), activation="softmax"),
        ]
    )


def write_sample_data(path: Path, samples: int = 300) -> None:
    """A slow oscillation, a fast one, or almost none, each with noise."""
    rng = np.random.default_rng(1)
    y = np.arange(samples) % len(labels)
    time = np.linspace(0, 1, VALUES)
    swings = np.stack([np.sin(2 * np.pi * 2 * time), np.sin(2 * np.pi * 7 * time), 0.1 * time])
    x = swings[y] * rng.uniform(0.7, 1.3, (samples, 1)) + rng.normal(0, 0.2, (samples, VALUES))
    np.savez(path, x=x.astype(np.float32), y=y)


if __name__ == "__main__":
    write_sample_data(DATA)
