"""The data that a user gives beside a model file (`--data FILE.npz`), checked. Knows nothing of recipes."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from protocol.errors import BadInput, BadRecipe
from protocol.messages.manifest import Contract
from publisher.learning.data.dataset import Array, Floats, Labels, answers, samples


@dataclass(frozen=True, slots=True, eq=False)
class OwnData:
    """Samples for each input of a model, each (samples, …) float32, and their true classes where they are known."""

    inputs: tuple[Floats, ...]
    y: Labels | None

    def value_range(self) -> tuple[float, float]:
        """The smallest and largest value."""
        return min(float(x.min()) for x in self.inputs), max(float(x.max()) for x in self.inputs)

    def taking(self, indexes: npt.NDArray[np.int64]) -> OwnData:
        """These samples alone."""
        return OwnData(tuple(x[indexes] for x in self.inputs), None if self.y is None else self.y[indexes])


def read_samples(path: Path) -> tuple[Floats, Labels | None]:
    """Read `x`, for a model of one input, and perhaps `y`, whatever the model. Raises BadInput."""
    arrays = _arrays(path)
    _check_names(path, arrays, ["x"])
    inputs, y = _checked(path, arrays, ["x"])
    return inputs[0], y


def read_own_data(path: Path, contract: Contract) -> OwnData:
    """Read `x` (or `x_0`, `x_1` … for a model of more inputs) and perhaps `y`. Raises BadInput."""
    arrays = _arrays(path)
    count = len(contract.inputs)
    wanted = ["x"] if count == 1 else [f"x_{index}" for index in range(count)]
    _check_names(path, arrays, wanted)
    inputs, y = _checked(path, arrays, wanted)
    _check_against(contract, dict(zip(wanted, inputs, strict=True)), y, path.name)
    return OwnData(inputs, y)


def ranged(contract: Contract, own: OwnData) -> Contract:
    """The contract with the values that the data has."""
    low, high = own.value_range()
    inputs = tuple(tensor.model_copy(update={"value_min": low, "value_max": high}) for tensor in contract.inputs)
    return contract.model_copy(update={"inputs": inputs})


def _check_names(path: Path, arrays: dict[str, Array], wanted: list[str]) -> None:
    missing = [name for name in wanted if name not in arrays]
    if missing:
        held = ", ".join(sorted(arrays)) or "nothing"
        raise BadInput(f"{path.name} has no array {missing[0]}; it has {held}", hint=f"save {', '.join(wanted)} in it")


def _checked(path: Path, arrays: dict[str, Array], wanted: list[str]) -> tuple[tuple[Floats, ...], Labels | None]:
    where = path.name
    try:
        inputs = tuple(samples(arrays[name], name, where) for name in wanted)
        return inputs, answers(arrays["y"], "y", len(inputs[0]), where) if "y" in arrays else None
    except BadRecipe as wrong:  # no recipe here: the same checks under the general name
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
    except OSError as refused:
        raise BadInput(f"{path} cannot be read: {refused.strerror or refused}", hint="give an .npz file") from refused
    except (ValueError, zipfile.BadZipFile, EOFError) as refused:
        raise BadInput(
            f"{path.name} is no .npz of plain arrays: {refused}", hint="numpy.savez(FILE, x=…, y=…)"
        ) from refused


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
    gives = contract.outputs[0].shape
    if len(inputs) != 1 or len(contract.outputs) != 1 or len(gives) != 2:
        raise BadInput(f"{where} has y, but the model is no classifier of one input", hint="leave y out")
    if int(y.max()) >= gives[1]:
        raise BadInput(
            f"{where}: y has the class {int(y.max())}, but the model knows {gives[1]}, from 0", hint="correct y"
        )
