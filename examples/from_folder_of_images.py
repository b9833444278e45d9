"""A recipe from a folder of images: one folder per class, with images of any size.

    python examples/from_folder_of_images.py    # writes sample data, shapes/
    publisher release shapes --version 1.0.0 --recipe examples/from_folder_of_images.py

shapes/circle/1.png, shapes/cross/1.png ... The folders' names are the labels. Needs
Pillow, which is installed with the publisher. An application calls `as_pixels` on its
images before `predict`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw  # pip install pillow

Array = npt.NDArray[Any]

DATA = Path(__file__).with_name("shapes")
SIDE_PIXELS = 24
HELD_BACK_PERCENT = 25

labels = ["circle", "cross", "square"]
train_settings = {"epochs": 12, "batch_size": 16, "learning_rate": 0.005, "seed": 1}


def load_data() -> tuple[Array, Array, Array, Array]:
    """x_train, y_train, x_test, y_test: images as (samples, side, side, 1) in 0..1."""
    paths = sorted(path for label in labels for path in (DATA / label).iterdir())
    x = np.stack([as_pixels(path) for path in paths])
    y = np.array([labels.index(path.parent.name) for path in paths])
    held_back = np.array([is_held_back(path) for path in paths])
    return x[~held_back], y[~held_back], x[held_back], y[held_back]


def as_pixels(path: Path) -> Array:
    """A grey image of the network's size."""
    with Image.open(path) as picture:
        grey = picture.convert("L").resize((SIDE_PIXELS, SIDE_PIXELS))
    return np.asarray(grey, np.float32)[..., None] / 255


def is_held_back(path: Path) -> bool:
    """Whether it is test data; by name, so that new images do not change the split."""
    number = int(hashlib.sha256(f"{path.parent.name}/{path.name}".encode()).hexdigest()[:8], 16)
    return number % 100 < HELD_BACK_PERCENT


def build_model() -> Any:
    """Two convolutions and a dense layer."""
    import tf_keras

    return tf_keras.Sequential(
        [
            tf_keras.Input(shape=(SIDE_PIXELS, SIDE_PIXELS, 1)),
            tf_keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
            tf_keras.layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(len(labels), activation="softmax"),
        ]
    )


def write_sample_data(folder: Path, each: int = 80) -> None:
    """Random drawings of circles, crosses and squares."""
    rng = np.random.default_rng(3)
    for label in labels:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            draw_shape(label, rng).save(folder / label / f"{number}.png")


def draw_shape(label: str, rng: np.random.Generator) -> Image.Image:
    """A drawing of 40x40 pixels, bright on dark."""
    picture = Image.new("L", (40, 40), int(rng.integers(0, 60)))
    pen, bright = ImageDraw.Draw(picture), int(rng.integers(180, 256))
    left, top = (int(value) for value in rng.integers(2, 16, 2))
    right, bottom = left + 20, top + 20
    if label == "circle":
        pen.ellipse((left, top, right, bottom), outline=bright, width=3)
    elif label == "square":
        pen.rectangle((left, top, right, bottom), outline=bright, width=3)
    else:
        pen.line((left, top, right, bottom), fill=bright, width=3)
        pen.line((left, bottom, right, top), fill=bright, width=3)
    return picture


if __name__ == "__main__":
    write_sample_data(DATA)
