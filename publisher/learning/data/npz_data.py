"""Reads and checks the data that a user gives with a model file (`--data FILE.npz`)."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from protocol.errors import BadInput, BadRecipe
from protocol.messages.contract import Contract
from protocol.preprocessing.preprocessor import Preprocessor
from publisher.learning.data.dataset import Array, Floats, Labels, validate_classes, validate_samples
from publisher.learning.data.raw_samples import checked


@dataclass(frozen=True, slots=True, eq=False)
class UserData:
    """Samples (samples, …) float32 for each input of a model; `y` are their classes.

    `raw`: the samples before the model's preprocessing, if it has one.
    """

    inputs: tuple[Floats, ...]
    y: Labels | None
    raw: tuple[Array, ...] = ()

    def value_range(self) -> tuple[float, float]:
        return min(float(x.min()) for x in self.inputs), max(float(x.max()) for x in self.inputs)

    def select(self, indexes: npt.NDArray[np.int64]) -> UserData:
        inputs, raw = (tuple(x[indexes] for x in each) for each in (self.inputs, self.raw))
        return UserData(inputs, None if self.y is None else self.y[indexes], raw)


def read_samples(path: Path) -> tuple[Floats, Labels | None]:
    """Read `x` for a model of one input, and perhaps `y`. Raises BadInput."""
    (x,), y = _checked(_held(path, ["x"]), ["x"], path.name)
    return x, y


def read_user_data(path: Path, contract: Contract, preprocessor: Preprocessor | None = None) -> UserData:
    """Read `x` (`x_0`, `x_1` … for more inputs) and perhaps `y`. Raises BadInput.

    With a `preprocessor` the samples are raw, as an application gives them.
    """
    count = len(contract.inputs)
    wanted = ["x"] if count == 1 else [f"x_{index}" for index in range(count)]
    arrays = _held(path, wanted)
    raw: tuple[Array, ...] = ()
    if preprocessor is not None:
        raw, inputs = _prepared([arrays[name] for name in wanted], preprocessor, path.name)
        arrays |= dict(zip(wanted, inputs, strict=True))
    found, y = _checked(arrays, wanted, path.name)
    _check_against(contract, dict(zip(wanted, found, strict=True)), y, path.name)
    return UserData(found, y, raw)


def with_value_range(contract: Contract, user_data: UserData) -> Contract:
    low, high = user_data.value_range()
    inputs = tuple(tensor.model_copy(update={"value_min": low, "value_max": high}) for tensor in contract.inputs)
    return contract.model_copy(update={"inputs": inputs})


def _held(path: Path, wanted: list[str]) -> dict[str, Array]:
    arrays = _arrays(path)
    missing = [name for name in wanted if name not in arrays]
    if missing:
        held = ", ".join(sorted(arrays)) or "nothing"
        raise BadInput(f"{path.name} has no array {missing[0]}; it has {held}", hint=f"save {', '.join(wanted)} in it")
    return arrays


def _prepared(
    given: list[Array], preprocessor: Preprocessor, where: str
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    try:
        raw = checked(preprocessor, given)
        return tuple(raw), tuple(preprocessor.apply(raw))
    except BadInput as wrong:
        raise BadInput(f"{where}: {wrong.message}", hint=wrong.hint) from None


def _checked(arrays: dict[str, Array], wanted: list[str], where: str) -> tuple[tuple[Floats, ...], Labels | None]:
    try:
        inputs = tuple(validate_samples(arrays[name], name, where) for name in wanted)
        return inputs, validate_classes(arrays["y"], "y", len(inputs[0]), where) if "y" in arrays else None
    except BadRecipe as wrong:  # the same checks, but there is no recipe
        raise BadInput(wrong.message, hint=wrong.hint) from wrong


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


def _check_against(contract: Contract, inputs: dict[str, Floats], y: Labels | None, where: str) -> None:
    count = len(next(iter(inputs.values())))
    for (name, x), tensor in zip(inputs.items(), contract.inputs, strict=True):
        if x.shape[1:] != tensor.shape[1:]:
            raise BadInput(
                f"{where}: samples of {name} have shape {list(x.shape[1:])}, the model takes {list(tensor.shape[1:])}",
                hint="prepare the data as the model was trained",
            )
        if len(x) != count:
            raise BadInput(
                f"{where}: {name} has {len(x)} samples, others {count}", hint="give all inputs the same number"
            )
    if y is None:
        return
    output_shape = contract.outputs[0].shape
    if len(inputs) != 1 or len(contract.outputs) != 1 or len(output_shape) != 2:
        raise BadInput(f"{where} has y, but the model is no classifier of one input", hint="leave y out")
    if int(y.max()) >= output_shape[1]:
        raise BadInput(
            f"{where}: y has the class {int(y.max())}, but the model knows {output_shape[1]}, from 0", hint="correct y"
        )
