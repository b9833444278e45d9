"""A recipe from a CSV file: classifies crops by four measurements of a field sensor.

    python examples/from_csv.py    # writes sample data, fields.csv, beside this file
    publisher release fields --version 1.0.0 --recipe examples/from_csv.py

One sample per line, column names in the first line, the class in the last column. An
application calls `preprocess` on its measurements before `predict`.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DATA = Path(__file__).with_name("fields.csv")

labels = ["barley", "maize", "rape"]
train_settings = {"epochs": 20, "batch_size": 16, "learning_rate": 0.01, "seed": 1}

# lowest and highest values of moisture %, temperature C, height cm, light lux
LOWEST = np.array([0, -10, 0, 0], np.float32)
HIGHEST = np.array([100, 40, 300, 100_000], np.float32)


def load_data() -> tuple[Array, Array, Array, Array]:
    """x_train, y_train, x_test, y_test: every fifth line is test data.

    Appended lines do not change the split of the others.
    """
    with DATA.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in rows[0] if name != "crop"]
    x = np.array([[float(row[name]) for name in columns] for row in rows], np.float32)
    y = np.array([labels.index(row["crop"]) for row in rows])
    held_back = np.arange(len(rows)) % 5 == 4
    return x[~held_back], y[~held_back], x[held_back], y[held_back]


def preprocess(x: Array) -> Array:
    """Scale every column to 0..1 by constants."""
    scaled: Array = (x - LOWEST) / (HIGHEST - LOWEST)
    return scaled


def build_model() -> Any:
    """Layers of 4, 16 and 3."""
    import tf_keras

    return tf_keras.Sequential(
        [
            tf_keras.Input(shape=(len(LOWEST),)),
            tf_keras.layers.Dense(16, activation="relu"),
            tf_keras.layers.Dense(len(labels), activation="softmax"),
        ]
    )


def write_sample_data(path: Path, samples: int = 300) -> None:
    """Random fields around a typical one of each crop."""
    rng = np.random.default_rng(2)
    typical = np.array([[30, 15, 90, 60_000], [60, 25, 220, 40_000], [45, 10, 150, 90_000]])
    spread = np.array([6, 3, 20, 8_000])
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["moisture_percent", "temperature_c", "height_cm", "light_lux", "crop"])
        for crop in rng.integers(0, len(labels), samples):
            values = np.clip(rng.normal(typical[crop], spread), LOWEST, HIGHEST)
            writer.writerow([*(f"{value:.1f}" for value in values), labels[crop]])


if __name__ == "__main__":
    write_sample_data(DATA)
