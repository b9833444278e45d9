"""Training and held-back data of a recipe, validated before training."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
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
INPUTS_MAX: Final = 16  # of a contract


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """`x_…` (samples, features …) float32, `y_…` a truth for each; test is held back.

    A network of several inputs takes the first as `x_…`, the others as `more_…`. With
    `names` they are the input layers of these names, else in the network's order.
    """

    x_train: Floats
    y_train: Array
    x_test: Floats
    y_test: Array
    more_train: tuple[Floats, ...] = ()
    more_test: tuple[Floats, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def train(self) -> tuple[Floats, ...]:
        """All inputs of the training half."""
        return (self.x_train, *self.more_train)

    @property
    def test(self) -> tuple[Floats, ...]:
        return (self.x_test, *self.more_test)

    @property
    def features(self) -> tuple[int, ...]:
        """The shape of one sample of the first input."""
        return self.x_train.shape[1:]

    @property
    def value_range(self) -> tuple[float, float]:
        return min(float(x.min()) for x in self.train), max(float(x.max()) for x in self.train)

    def sha256(self) -> str:
        """The hash of all arrays with their shapes."""
        digest = hashlib.sha256()
        for array in (self.x_train, self.y_train, self.x_test, self.y_test, *self.more_train, *self.more_test):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def four_arrays(given: object, where: str, hint: str) -> tuple[Any, Array, Any, Array]:
    """What `load_data` returned, if it is four numpy arrays. Raises BadRecipe.

    An `x` may be a tuple, list or dict of arrays, for several inputs.
    """
    if not isinstance(given, tuple | list) or len(given) != len(NAMES):
        held = f" of {len(given)}" if isinstance(given, tuple | list) else ""
        raise BadRecipe(f"{where} gave a {type(given).__name__}{held}", hint=hint)
    for name, array in zip(NAMES, given, strict=True):
        several = name.startswith("x") and isinstance(array, tuple | list | Mapping)
        if not several and not isinstance(array, np.ndarray):
            raise BadRecipe(f"{where} gave {name} as a {type(array).__name__}", hint=f"use numpy.asarray({name})")
        _check_unmasked(array, name, where)
    x_train, y_train, x_test, y_test = given
    return x_train, y_train, x_test, y_test


def split_inputs(given: Any, name: str, where: str) -> dict[str, Array]:
    """The arrays of an `x` by name, `x_train` for a single one. Raises BadRecipe."""
    if isinstance(given, np.ndarray):
        _check_unmasked(given, name, where)  # preprocess() can have made it
        return {name: given}
    arrays = dict(given) if isinstance(given, Mapping) else {f"{name}[{i}]": x for i, x in enumerate(given)}
    if not 1 <= len(arrays) <= INPUTS_MAX:
        raise BadRecipe(f"{where} gave {name} as {len(arrays)} inputs", hint=f"a model has 1 to {INPUTS_MAX} inputs")
    for key, array in arrays.items():
        if not isinstance(key, str) or not isinstance(array, np.ndarray):
            raise BadRecipe(
                f"{where} gave {name} with {key!r} as a {type(array).__name__}",
                hint="give a numpy array for each input, in a dict by the names of the input layers",
            )
        _check_unmasked(array, key, where)
    return arrays


def _check_unmasked(array: object, name: str, where: str) -> None:
    """A network would learn what is below the mask."""
    if isinstance(array, np.ma.MaskedArray):
        raise BadRecipe(
            f"{where} gave {name} as a masked array", hint=f"drop what is masked, or fill it: {name}.filled(0)"
        )


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
        raise BadRecipe(
            f"{where}: {name} has shape {list(y.shape)}",
            hint=f'give class numbers: {name}.argmax(axis=1); or set task = "multi-label" or "regression"',
        )
    if y.ndim != 1:
        raise BadRecipe(f"{where}: {name} has shape {list(y.shape)}", hint=f"give one class a sample: {name}.ravel()")
    if y.dtype.kind not in "iu":
        raise BadRecipe(
            f"{where}: {name} holds {y.dtype}",
            hint="labels are whole numbers from 0: astype('int64'); for real numbers set task = \"regression\"",
        )
    if len(y) != count:
        raise BadRecipe(f"{where}: {name} has {len(y)} labels for {count} samples", hint="give each sample its label")
    if int(y.min()) < 0:
        raise BadRecipe(f"{where}: {name} has the label {int(y.min())}", hint="classes are counted from 0")
    return y.astype(np.int64)


def check_halves(train: Floats, test: Floats, name: str, where: str) -> None:
    """Reject values from which nothing is learnt, and halves that are not alike.

    `name` is that of the input: `x`, or one of several.
    """
    if test.shape[1:] != train.shape[1:]:
        raise BadRecipe(
            f"{where}: samples of {name}_test have shape {list(test.shape[1:])}, of {name}_train"
            f" {list(train.shape[1:])}",
            hint="prepare both halves in the same way",
        )
    low, high = float(train.min()), float(train.max())
    if low == high:
        raise BadRecipe(f"{where}: every value of {name}_train is {low:g}", hint="look at how it is loaded")
    largest = max(abs(low), abs(high))
    if largest > VALUE_MAX:
        raise BadRecipe(
            f"{where}: {name}_train has values up to {largest:.3g}, too large to train on",
            hint="scale each feature to about 0..1, for instance in preprocess()",
        )
    test_low, test_high = float(test.min()), float(test.max())
    reach = SPREAD_MAX * (high - low)
    if test_low < low - reach or test_high > high + reach:
        raise BadRecipe(
            f"{where}: {name}_test has values from {test_low:.3g} to {test_high:.3g}, {name}_train from {low:.3g} to"
            f" {high:.3g}",
            hint="scale both halves in the same way, by numbers taken from x_train",
        )
