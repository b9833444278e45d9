"""A recipe from a folder of images: one folder per class, with images of any size.

    python examples/from_folder_of_images.py    # writes sample data, pictures/
    publisher release photos --version 1.0.0 --recipe examples/from_folder_of_images.py

pictures/flower/1.png, pictures/temple/1.png ... The folders' names are the labels.
The sample data are cut from two photographs that come with scikit-learn. Needs Pillow,
which is installed with the publisher. An application calls `as_pixels` on its images
before `predict`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image  # pip install pillow

Array = npt.NDArray[Any]

DATA = Path(__file__).with_name("pictures")
SIDE_PIXELS = 24
HELD_BACK_PERCENT = 25

labels = ["flower", "temple"]
train_settings = {"epochs": 12, "batch_size": 16, "learning_rate": 0.005, "seed": 1}


def load_data() -> tuple[Array, Array, Array, Array]:
    """x_train, y_train, x_test, y_test: images as (samples, side, side, 3) in 0..1."""
    paths = sorted(path for label in labels for path in (DATA / label).iterdir())
    x = np.stack([as_pixels(path) for path in paths])
    y = np.array([labels.index(path.parent.name) for path in paths])
    held_back = np.array([is_held_back(path) for path in paths])
    return x[~held_back], y[~held_back], x[held_back], y[held_back]


def as_pixels(path: Path) -> Array:
    """An image in colours, of the network's size."""
    with Image.open(path) as picture:
        small = picture.convert("RGB").resize((SIDE_PIXELS, SIDE_PIXELS))
    return np.asarray(small, np.float32) / 255


def is_held_back(path: Path) -> bool:
    """Whether it is test data; by name, so that new images do not change the split."""
    number = int(hashlib.sha256(f"{path.parent.name}/{path.name}".encode()).hexdigest()[:8], 16)
    return number % 100 < HELD_BACK_PERCENT


def build_model() -> Any:
    """Two convolutions and a dense layer."""
    import tf_keras

    return tf_keras.Sequential(
        [
            tf_keras.Input(shape=(SIDE_PIXELS, SIDE_PIXELS, 3)),
            tf_keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
            tf_keras.layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(len(labels), activation="softmax"),
        ]
    )


def write_sample_data(folder: Path, side_pixels: int = 40) -> None:
    """Squares of the photographs of a flower and of a temple, none over another."""
    from sklearn.datasets import load_sample_image

    for label, photograph in zip(labels, ("flower.jpg", "china.jpg"), strict=True):
        (folder / label).mkdir(parents=True, exist_ok=True)
        pixels = load_sample_image(photograph)
        corners = [(top, left) for top in range(0, 387, side_pixels) for left in range(0, 600, side_pixels)]
        for number, (top, left) in enumerate(corners):
            square = pixels[top : top + side_pixels, left : left + side_pixels]
            Image.fromarray(square).save(folder / label / f"{number}.png")


if __name__ == "__main__":
    write_sample_data(DATA)
