"""Reads and checks the data that a user gives with a model file (`--data FILE.npz`)."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from protocol.errors import BadInput, BadRecipe
from protocol.messages.contract import FREE, Contract, Tensor
from protocol.preprocessing.preprocessor import Preprocessor
from publisher.learning.data.dataset import Array, Floats, Labels, validate_classes, validate_samples
from publisher.learning.data.raw_samples import checked
from publisher.learning.data.truths import classes_of, read_truths

STRING: Final = "string"


@dataclass(frozen=True, slots=True, eq=False)
class UserData:
    """Rows (samples, …) of each input in the model's types; `y` are their truths.

    `raw`: the samples before the model's preprocessing, if it has one.
    """

    inputs: tuple[Array, ...]
    y: Array | None
    raw: tuple[Array, ...] = ()

    @property
    def classes(self) -> Labels | None:
        """The truths where they are classes."""
        return classes_of(self.y)

    def select(self, indexes: npt.NDArray[np.int64]) -> UserData:
        inputs, raw = (tuple(x[indexes] for x in each) for each in (self.inputs, self.raw))
        return UserData(inputs, None if self.y is None else self.y[indexes], raw)


def read_samples(path: Path) -> tuple[Floats, Labels | None]:
    """Read `x` for a model of one input, and perhaps `y`. Raises BadInput."""
    arrays = _arrays(path)
    x = _given(arrays, [("x",)], path.name)[0]
    try:
        samples = validate_samples(x[1], x[0], path.name)
    except BadRecipe as wrong:  # the same checks, but there is no recipe
        raise BadInput(wrong.message, hint=wrong.hint) from wrong
    return samples, _classes(arrays, len(samples), path.name)


def read_user_data(path: Path, contract: Contract, preprocessor: Preprocessor | None = None) -> UserData:
    """Read `x` and perhaps truths (see `truths`). Raises BadInput.

    For more inputs `x_0`, `x_1` …, or their names. With a `preprocessor` the samples
    are raw, as an application gives them.
    """
    arrays, count = _arrays(path), len(contract.inputs)
    wanted = [
        ("x" if count == 1 else f"x_{index}", *([tensor.name] if tensor.name != "y" else []))
        for index, tensor in enumerate(contract.inputs)
    ]
    found = _given(arrays, wanted, path.name)
    raw: tuple[Array, ...] = ()
    if preprocessor is not None:
        raw, prepared = _prepared([x for _, x in found], preprocessor, path.name)
        found = [(name, x) for (name, _), x in zip(found, prepared, strict=True)]
    inputs = tuple(
        _rows(x, name, tensor, contract.row_shape(tensor), path.name)
        for (name, x), tensor in zip(found, contract.inputs, strict=True)
    )
    _check_counts({name: rows for (name, _), rows in zip(found, inputs, strict=True)}, path.name)
    return UserData(inputs, read_truths(arrays, len(inputs[0]), path.name), raw)


def with_value_range(contract: Contract, user_data: UserData) -> Contract:
    """The contract with the range of real numbers in the data."""
    inputs = tuple(
        tensor.model_copy(update=_range(x, tensor)) for x, tensor in zip(user_data.inputs, contract.inputs, strict=True)
    )
    return contract.model_copy(update={"inputs": inputs})


def _range(x: Array, tensor: Tensor) -> dict[str, float]:
    if tensor.dtype == STRING:
        return {}
    real = [((float(each) - tensor.zero_point) * (tensor.scale or 1.0)) for each in (x.min(), x.max())]
    return {"value_min": real[0], "value_max": real[1]}


def _given(arrays: Mapping[str, Array], wanted: Sequence[tuple[str, ...]], where: str) -> list[tuple[str, Array]]:
    """The first array of each group of names. Raises BadInput."""
    found = []
    for names in wanted:
        name = next((each for each in names if each in arrays), None)
        if name is None:
            held = ", ".join(sorted(arrays)) or "nothing"
            needed = ", ".join(each[0] for each in wanted)
            raise BadInput(f"{where} has no array {names[0]}; it has {held}", hint=f"save {needed} in it")
        found.append((name, arrays[name]))
    return found


def _prepared(
    given: list[Array], preprocessor: Preprocessor, where: str
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    try:
        raw = checked(preprocessor, given)
        return tuple(raw), tuple(preprocessor.apply(raw))
    except BadInput as wrong:
        raise BadInput(f"{where}: {wrong.message}", hint=wrong.hint) from None


def _classes(arrays: Mapping[str, Array], count: int, where: str) -> Labels | None:
    try:
        return validate_classes(arrays["y"], "y", count, where) if "y" in arrays else None
    except BadRecipe as wrong:
        raise BadInput(wrong.message, hint=wrong.hint) from wrong


def _rows(x: Array, name: str, tensor: Tensor, row: tuple[int, ...], where: str) -> Array:
    """The samples in the tensor's type, of a shape that it takes. Raises BadInput."""
    if not x.ndim or not x.size:
        raise BadInput(
            f"{where}: {name} has shape {list(x.shape)}", hint="it is (samples, ...), with at least one sample"
        )
    rows = _typed(x, name, tensor, where)
    sizes = [(size, free) for size, free in zip(x.shape[1:], row, strict=False) if free != FREE]
    if x.ndim - 1 != len(row) or any(size != fixed for size, fixed in sizes) or not _within(x.shape[1:], row, tensor):
        raise BadInput(
            f"{where}: samples of {name} have shape {list(x.shape[1:])}, the model takes {_sizes(row, tensor)}",
            hint="prepare the data as the model was trained",
        )
    return rows


def _sizes(row: tuple[int, ...], tensor: Tensor) -> str:
    bounds = zip(row, tensor.size_min[-len(row) :], tensor.size_max[-len(row) :], strict=False)
    if FREE not in row:
        return str(list(row))
    return f"[{', '.join(str(size) if size != FREE else f'{low}-{high}' for size, low, high in bounds)}]"


def _within(shape: Sequence[int], row: Sequence[int], tensor: Tensor) -> bool:
    if FREE not in row:
        return True
    bounds = zip(shape, tensor.size_min[-len(row) :], tensor.size_max[-len(row) :], strict=True)
    return all(low <= size <= high for size, low, high in bounds)


def _typed(x: Array, name: str, tensor: Tensor, where: str) -> Array:
    if tensor.dtype == STRING:
        return _strings(x, name, where)
    dtype = np.dtype(tensor.dtype)
    if dtype.kind == "f":
        return _floats(x, name, dtype, where)
    if x.dtype.kind == "f" and tensor.scale:
        return _quantized(x, tensor, dtype)
    if x.dtype.kind not in "iub":
        raise BadInput(
            f"{where}: {name} holds {x.dtype}, the model takes {tensor.dtype}",
            hint=f"give it as the model takes it: {name}.astype('{tensor.dtype}')",
        )
    typed: Array = x.astype(dtype)
    if not np.array_equal(typed, x):
        raise BadInput(
            f"{where}: {name} has values from {x.min()} to {x.max()}, more than {tensor.dtype} holds",
            hint="prepare the data as the model was trained",
        )
    return typed


def _floats(x: Array, name: str, dtype: np.dtype[np.generic], where: str) -> Array:
    try:
        flat = validate_samples(x.reshape(len(x), -1), name, where)  # the shape is checked against the model's
    except BadRecipe as wrong:
        raise BadInput(wrong.message, hint=wrong.hint) from wrong
    return flat.reshape(x.shape).astype(dtype, copy=False)


def _quantized(x: Array, tensor: Tensor, dtype: np.dtype[np.generic]) -> Array:
    """Real numbers as the model stores them."""
    bounds = np.iinfo(tensor.dtype)
    steps = np.rint(x.astype(np.float64) / tensor.scale) + tensor.zero_point
    stored: Array = np.clip(steps, bounds.min, bounds.max).astype(dtype)
    return stored


def _strings(x: Array, name: str, where: str) -> Array:
    if x.dtype.kind == "U":
        encoded: Array = np.char.encode(x, "utf-8")
        return encoded
    if x.dtype.kind != "S":
        raise BadInput(
            f"{where}: {name} holds {x.dtype}, the model takes strings", hint=f"give texts: {name}.astype(str)"
        )
    return x


def _arrays(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise BadInput(
                    f"{path.name} is one array, not an .npz", hint="save it with numpy.savez(FILE, x=…, y=…)"
                )
            return {name: archive[name] for name in archive.files}
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}", hint="give an .npz file") from error
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise BadInput(
            f"{path.name} is no .npz of plain arrays: {error}", hint="numpy.savez(FILE, x=…, y=…)"
        ) from error


def _check_counts(inputs: Mapping[str, Array], where: str) -> None:
    count = len(next(iter(inputs.values())))
    for name, x in inputs.items():
        if len(x) != count:
            raise BadInput(
                f"{where}: {name} has {len(x)} samples, others {count}", hint="give all inputs the same number"
            )
