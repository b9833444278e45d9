"""A small network for each task, trained on scikit-learn's digits, and damaged.

Needs TensorFlow, so it runs in another process than the device's runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protocol.messages.contract import Contract, TaskDeclaration, Tensor
from protocol.tasks.boxes import Found
from protocol.tasks.selection import task_of
from protocol.tasks.task import Outputs, Task
from publisher.learning.conversion.tflite_converter import to_dynamic, to_float16, to_float32, to_int8
from publisher.learning.quiet_tensorflow import silence_tensorflow
from publisher.learning.tensorflow_import import load_tf_keras

Array = NDArray[Any]
Weights = list[Array]
Rng = np.random.Generator
TRAINED: Final = 1_200  # of 1,797 digits; the others are shown
CANVAS: Final = 24  # pixels; cells of 8 hold a digit or none
CELLS: Final = 9
SPREADS_MAX: Final = 1_024  # of a contract
KINDS: Final = 3  # of digits in a picture of several: 0, 1 and 2


@dataclass(frozen=True, slots=True)
class TrainedTask:
    """`files`: .tflite by what was done to it. `x`: what it was not trained on.

    `truths`: what applications label; none where there is no truth. `kinds`: what the
    task's figure takes.
    """

    title: str
    files: dict[str, bytes]
    contract: Contract
    x: Array
    truths: Sequence[Any] | None
    kinds: Sequence[Any]

    @property
    def task(self) -> Task:
        return task_of(self.contract)

    def figure(self, answers: Sequence[Outputs]) -> float:
        return self.task.figure(answers, self.kinds)


def noise(share: float) -> Callable[[Weights, Rng], Weights]:
    """Of each layer's deviation."""
    return lambda weights, rng: [each + share * each.std() * rng.standard_normal(each.shape) for each in weights]


def permuted(weights: Weights, rng: Rng) -> Weights:
    return [rng.permutation(each.ravel()).reshape(each.shape) for each in weights]


def first_layer_permuted(weights: Weights, rng: Rng) -> Weights:
    return [*permuted(weights[:1], rng), *weights[1:]]


def last_layer_zero(weights: Weights, _: Rng) -> Weights:
    return [*weights[:-2], *(np.zeros_like(each) for each in weights[-2:])]


OF_WEIGHTS: Final[dict[str, Callable[[Weights, Rng], Weights]]] = {
    "all weights permuted": permuted,
    "first layer permuted": first_layer_permuted,
    "last layer zero": last_layer_zero,
    "50 % noise": noise(0.5),
    "5 % noise": noise(0.05),
    "1 % noise": noise(0.01),
}
CONVERSIONS: Final = {
    "the same": to_float32,
    "float16 copy": to_float16,
    "8-bit weights": to_dynamic,
    "8-bit copy": to_int8,
}


def trained(name: str, seed: int) -> TrainedTask:
    """One of `TASKS`, with its damaged files."""
    return TASKS[name](seed)


def softmax(seed: int) -> TrainedTask:
    x, y, shown, truths = _digits()
    network = _trained([64, 32], 10, "softmax", "sparse_categorical_crossentropy", x, y)
    return _task(seed, "classification", "softmax", network, x, shown, [int(each) for each in truths])


def wake_word(seed: int) -> TrainedTask:
    """Fires at a seven, and there are few."""
    x, y, shown, truths = _digits()
    network = _trained([32], 1, "sigmoid", "binary_crossentropy", x, (y == 7).astype(np.float32))
    return _task(seed, "classification", "sigmoid", network, x, shown, [int(each == 7) for each in truths])


def multi_label(seed: int) -> TrainedTask:
    """Even, large, prime, round."""
    x, y, shown, truths = _digits()
    network = _trained([64, 32], 4, "sigmoid", "binary_crossentropy", x, _properties(y))
    sets = [frozenset(np.flatnonzero(row).tolist()) for row in _properties(truths)]
    return _task(seed, "classification", "multi_label", network, x, shown, sets)


def regression(seed: int) -> TrainedTask:
    """Where the ink is, right and down, and how much of it."""
    x, _, shown, _ = _digits()
    network = _trained([64, 32], 3, None, "mse", x, _moments(x), epochs=40)
    return _task(seed, "regression", "", network, x, shown, list(_moments(shown)))


def embedding(seed: int) -> TrainedTask:
    """Eight numbers for a digit, on a sphere; no truth but their kinds."""
    keras = load_tf_keras()
    x, y, shown, truths = _digits()
    normal = keras.layers.UnitNormalization()
    body = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(8), normal])
    head = keras.Sequential([body, keras.layers.Dense(10, "softmax")])
    _fit(head, "sparse_categorical_crossentropy", x, y, 30)
    return _task(seed, "embedding", "", body, x, shown, None, [int(each) for each in truths])


def scores(seed: int) -> TrainedTask:
    """An autoencoder: gives back what it is given, through eight numbers."""
    x, _, shown, _ = _digits()
    network = _trained([32, 8, 32], 64, "sigmoid", "mse", x, x, epochs=40)
    return _task(seed, "scores", "", network, x, shown, [[each] for each in shown.astype(np.float64)])


def segmentation(seed: int) -> TrainedTask:
    """Paper, or ink of a digit of one of three kinds."""
    x, kinds, _ = _pictures(1_500, seed=1)
    shown, shown_kinds, _ = _pictures(500, seed=2)
    network = _convolutional(KINDS + 1, "softmax")
    _fit(network, "sparse_categorical_crossentropy", x, kinds, 12)
    return _task(seed, "segmentation", "scores", network, x, shown, list(shown_kinds))


def detection(seed: int) -> TrainedTask:
    """A row for each cell: centre, size, whether there is a digit, and its kind."""
    keras = load_tf_keras()
    x, _, rows = _pictures(2_500, seed=3)
    shown, _, shown_rows = _pictures(500, seed=4)
    layers = [
        keras.Input((CANVAS, CANVAS, 1)),
        keras.layers.Conv2D(24, 8, strides=4, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(128, "relu"),
        keras.layers.Dense(CELLS * (5 + KINDS), "sigmoid"),
        keras.layers.Reshape((CELLS, 5 + KINDS)),
    ]
    network = keras.Sequential(layers)
    _fit(network, "binary_crossentropy", x, rows, 30)
    return _task(seed, "detection", "rows", network, x, shown, [_found(each) for each in shown_rows])


def keypoints(seed: int) -> TrainedTask:
    """Two corners and the middle of the ink of one digit, somewhere."""
    x, points = _placed(2_500, seed=5)
    shown, truths = _placed(500, seed=6)
    network = _trained([96, 64], 6, None, "mse", x, points, epochs=30)
    return _task(seed, "keypoints", "2d", network, x, shown, [each.reshape(3, 2) for each in truths])


def _task(
    seed: int,
    name: str,
    form: str,
    network: Any,
    x: Array,
    shown: Array,
    truths: Sequence[Any] | None,
    kinds: Sequence[Any] | None = None,
) -> TrainedTask:
    """With the spreads that a release measures on its golden set."""
    given = np.asarray(network.predict(x[:300], verbose=0))
    spread = tuple(float(each) for each in given.reshape(-1, given.shape[-1]).std(axis=0))
    source = Tensor(name="x", shape=(1, *x.shape[1:]))
    outputs = (Tensor(name="y", shape=(1, *given.shape[1:]), spread=spread[:SPREADS_MAX]),)
    contract = Contract(inputs=(source,), outputs=outputs, task=TaskDeclaration(name=name, form=form))
    files = dict(_files(network, x, seed))
    return TrainedTask(f"{name} {form}".strip(), files, contract, shown, truths, kinds or truths or [])


def _files(network: Any, x: Array, seed: int) -> Iterator[tuple[str, bytes]]:
    sound, some = network.get_weights(), [x[:100]]
    for name, convert in CONVERSIONS.items():
        yield name, convert(network, some)
    for at, (name, damage) in enumerate(OF_WEIGHTS.items()):
        network.set_weights(damage(sound, np.random.default_rng((seed, at))))
        yield name, to_float32(network, some)


def _digits() -> tuple[Array, Array, Array, Array]:
    from sklearn.datasets import load_digits  # here, as it takes a second

    small = load_digits()
    order = np.random.default_rng(20).permutation(len(small.target))
    x, y = (small.data[order] / 16.0).astype(np.float32), small.target[order]
    return x[:TRAINED], y[:TRAINED], x[TRAINED:], y[TRAINED:]


def _properties(y: Array) -> Array:
    of = [y % 2 == 0, y >= 5, np.isin(y, (2, 3, 5, 7)), np.isin(y, (0, 6, 8, 9))]
    properties: Array = np.stack(of, axis=1).astype(np.float32)
    return properties


def _moments(x: Array) -> Array:
    pictures = x.reshape(-1, 8, 8)
    ink = pictures.sum(axis=(1, 2))
    at = np.arange(8)
    right, down = (pictures.sum(axis=axis) @ at / ink for axis in (1, 2))
    moments: Array = np.stack([right, down, ink / 8.0], axis=1).astype(np.float32)
    return moments


def _pictures(count: int, seed: int) -> tuple[Array, Array, Array]:
    """Pictures (n, 24, 24, 1), the kind of each pixel, and a row for each cell."""
    rng = np.random.default_rng(seed)
    x, y, _, _ = _digits()
    few = [x[y == kind].reshape(-1, 8, 8) for kind in range(KINDS)]
    pictures = np.zeros((count, CANVAS, CANVAS, 1), np.float32)
    kinds, rows = np.zeros((count, CANVAS, CANVAS), np.int64), np.zeros((count, CELLS, 5 + KINDS), np.float32)
    for at in range(count):
        for cell in np.flatnonzero(rng.random(CELLS) < 0.3):
            kind = int(rng.choice(KINDS, p=(0.5, 0.4, 0.1)))
            digit = few[kind][rng.integers(len(few[kind]))]
            top, left = divmod(int(cell), 3)
            area = np.s_[at, top * 8 : top * 8 + 8, left * 8 : left * 8 + 8]
            pictures[area][..., 0] = digit
            kinds[area] = np.where(digit > 0.3, kind + 1, 0)
            down, right = (np.flatnonzero((digit > 0.1).any(axis=axis)) for axis in (1, 0))
            size = len(right) and (right[-1] - right[0] + 1), len(down) and (down[-1] - down[0] + 1)
            centre = left * 8 + right[0] + size[0] / 2, top * 8 + down[0] + size[1] / 2
            rows[at, cell] = (*(each / CANVAS for each in (*centre, *size)), 1.0, *np.eye(KINDS)[kind])
    return pictures, kinds, rows


def _placed(count: int, seed: int) -> tuple[Array, Array]:
    """A digit somewhere on 16 x 16, flat, and its three points in shares of that."""
    rng = np.random.default_rng(seed)
    x = _digits()[0].reshape(-1, 8, 8)
    pictures, points = np.zeros((count, 16, 16), np.float32), np.zeros((count, 6), np.float32)
    for at in range(count):
        top, left = rng.integers(0, 9, 2)
        digit = x[rng.integers(len(x))]
        pictures[at, top : top + 8, left : left + 8] = digit
        down, right = (np.flatnonzero((digit > 0.1).any(axis=axis)) for axis in (1, 0))
        corners = left + right[0], top + down[0], left + right[-1] + 1, top + down[-1] + 1
        middle = (corners[0] + corners[2]) / 2, (corners[1] + corners[3]) / 2
        points[at] = np.asarray((*corners, *middle)) / 16.0
    return pictures.reshape(count, -1), points


def _found(rows: Array) -> Found:
    there = rows[rows[:, 4] > 0.5]
    half = there[:, 2:4] / 2
    boxes = np.concatenate([there[:, :2] - half, there[:, :2] + half], axis=1)
    return Found(boxes, there[:, 5:].argmax(axis=1).astype(np.int64), np.ones(len(there)))


def _convolutional(channels: int, activation: str) -> Any:
    keras = load_tf_keras()
    return keras.Sequential(
        [
            keras.Input((CANVAS, CANVAS, 1)),
            keras.layers.Conv2D(16, 5, padding="same", activation="relu"),
            keras.layers.Conv2D(24, 5, padding="same", activation="relu"),
            keras.layers.Conv2D(channels, 3, padding="same", activation=activation),
        ]
    )


def _trained(
    sizes: Sequence[int], last: int, activation: str | None, loss: str, x: Array, y: Array, *, epochs: int = 20
) -> Any:
    keras = load_tf_keras()
    hidden = [keras.layers.Dense(size, "relu") for size in sizes]
    network = keras.Sequential([keras.Input(x.shape[1:]), *hidden, keras.layers.Dense(last, activation)])
    _fit(network, loss, x, y, epochs)
    return network


def _fit(network: Any, loss: str, x: Array, y: Array, epochs: int) -> None:
    keras = load_tf_keras()
    keras.utils.set_random_seed(1)
    with silence_tensorflow():
        network.compile(optimizer=keras.optimizers.Adam(0.002), loss=loss)
        network.fit(x, y, epochs=epochs, batch_size=32, verbose=0)


TASKS: Final[dict[str, Callable[[int], TrainedTask]]] = {
    "softmax": softmax,
    "wake_word": wake_word,
    "multi_label": multi_label,
    "detection": detection,
    "segmentation": segmentation,
    "keypoints": keypoints,
    "regression": regression,
    "embedding": embedding,
    "scores": scores,
}
