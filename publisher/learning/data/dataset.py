"""Training and held-back data of a recipe, validated before training."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from protocol.errors import BadRecipe

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Array = npt.NDArray[Any]

NAMES: Final = ("x_train", "y_train", "x_test", "y_test")
VALUE_MAX: Final = 1e6  # no network learns from larger numbers, and 8 bits cannot hold their differences
SPREAD_MAX: Final = 10.0  # by how many widths of the training range the held-back half may leave it
SHAPE_HINT: Final = "return (x_train, y_train, x_test, y_test), four numpy arrays"


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """`x_…` (samples, features …) float32, `y_…` (samples,); test data is held back."""

    x_train: Floats
    y_train: Labels
    x_test: Floats
    y_test: Labels

    @property
    def features(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return self.x_train.shape[1:]

    @property
    def classes(self) -> int:
        """The number of classes; each has training samples."""
        return int(self.y_train.max()) + 1

    @property
    def value_range(self) -> tuple[float, float]:
        return float(self.x_train.min()), float(self.x_train.max())

    def sha256(self) -> str:
        """The hash of all four arrays with their shapes."""
        digest = hashlib.sha256()
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def four_arrays(given: object, where: str) -> tuple[Array, Array, Array, Array]:
    """What `load_data` returned, if it is four numpy arrays. Raises BadRecipe."""
    if not isinstance(given, tuple | list) or len(given) != len(NAMES):
        held = f" of {len(given)}" if isinstance(given, tuple | list) else ""
        raise BadRecipe(f"{where} gave a {type(given).__name__}{held}", hint=SHAPE_HINT)
    for name, array in zip(NAMES, given, strict=True):
        if not isinstance(array, np.ndarray):
            raise BadRecipe(f"{where} gave {name} as a {type(array).__name__}", hint=f"use numpy.asarray({name})")
    x_train, y_train, x_test, y_test = given
    return x_train, y_train, x_test, y_test


def validate_data(arrays: tuple[Array, Array, Array, Array], labels: tuple[str, ...], where: str) -> Data:
    """The data, if a network can be trained on it. Raises BadRecipe."""
    x_train, y_train, x_test, y_test = arrays
    data = Data(
        validate_samples(x_train, "x_train", where),
        validate_classes(y_train, "y_train", len(x_train), where),
        validate_samples(x_test, "x_test", where),
        validate_classes(y_test, "y_test", len(x_test), where),
    )
    if data.x_test.shape[1:] != data.features:
        raise BadRecipe(
            f"{where}: samples of x_test have shape {list(data.x_test.shape[1:])}, of x_train {list(data.features)}",
            hint="prepare both halves in the same way",
        )
    _check_range(data, where)
    _check_classes(data, labels, where)
    return data


def validate_samples(x: Array, name: str, where: str) -> Floats:
    """`x` as float32, if it is (samples, features …) and finite. Raises BadRecipe."""
    if x.ndim < 2 or x.size == 0:
        raise BadRecipe(
            f"{where}: {name} has shape {list(x.shape)}",
            hint="it is (samples, features ...), with at least one of each",
        )
    if x.dtype.kind != "f":
        raise BadRecipe(
            f"{where}: {name} holds {x.dtype}, not float32",
            hint=f"scale and convert it, for instance ({name} / 255).astype('float32') for pixels",
        )
    with np.errstate(over="ignore"):  # overflow becomes infinite, which is reported below
        floats = x.astype(np.float32, copy=False)
    if not np.isfinite(floats).all():
        first = int(np.argwhere(~np.isfinite(floats.reshape(len(floats), -1)).all(axis=1))[0, 0])
        raise BadRecipe(
            f"{where}: {name} has NaN or infinite values, first in sample {first}", hint="drop or fill them"
        )
    return floats


def validate_classes(y: Array, name: str, count: int, where: str) -> Labels:
    """`y` as int64, if it has one class from 0 for each sample. Raises BadRecipe."""
    if y.ndim == 2 and y.shape[1] > 1:
        raise BadRecipe(f"{where}: {name} has shape {list(y.shape)}", hint=f"give class numbers: {name}.argmax(axis=1)")
    if y.ndim != 1:
        raise BadRecipe(f"{where}: {name} has shape {list(y.shape)}", hint=f"give one class a sample: {name}.ravel()")
    if y.dtype.kind not in "iu":
        raise BadRecipe(f"{where}: {name} holds {y.dtype}", hint="labels are whole numbers from 0: astype('int64')")
    if len(y) != count:
        raise BadRecipe(f"{where}: {name} has {len(y)} labels for {count} samples", hint="give each sample its label")
    if int(y.min()) < 0:
        raise BadRecipe(f"{where}: {name} has the label {int(y.min())}", hint="classes are counted from 0")
    return y.astype(np.int64)


def _check_range(data: Data, where: str) -> None:
    """Reject values from which nothing is learnt, and halves of different scale."""
    low, high = data.value_range
    if low == high:
        raise BadRecipe(f"{where}: every value of x_train is {low:g}", hint="look at how it is loaded")
    largest = max(abs(low), abs(high))
    if largest > VALUE_MAX:
        raise BadRecipe(
            f"{where}: x_train has values up to {largest:.3g}, too large to train on",
            hint="scale each feature to about 0..1, for instance in preprocess()",
        )
    test_low, test_high = float(data.x_test.min()), float(data.x_test.max())
    reach = SPREAD_MAX * (high - low)
    if test_low < low - reach or test_high > high + reach:
        raise BadRecipe(
            f"{where}: x_test has values from {test_low:.3g} to {test_high:.3g}, x_train from {low:.3g} to {high:.3g}",
            hint="scale both halves in the same way, by numbers taken from x_train",
        )


def _check_classes(data: Data, labels: tuple[str, ...], where: str) -> None:
    highest = max(int(data.y_train.max()), int(data.y_test.max()))
    if labels and highest >= len(labels):
        raise BadRecipe(
            f"{where}: there is a class {highest}, but `labels` names {len(labels)}, from 0 to {len(labels) - 1}",
            hint="name every class in `labels`, or correct y",
        )
    classes = len(labels) or highest + 1
    trained = np.unique(data.y_train)
    first = next((index for index, label in enumerate(trained) if index != label), len(trained))
    if first < classes:
        name = f" ({labels[first]})" if labels else ""
        raise BadRecipe(
            f"{where}: y_train has no sample of class {first}{name}, of {classes} classes",
            hint="classes are numbered from 0 without gaps, and each needs samples to train on",
        )
    if classes < 2:
        raise BadRecipe(f"{where}: there is one class only", hint="a classifier needs at least two")
