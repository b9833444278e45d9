"""What the outputs of a model look like: shapes, names, and the values of some runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protocol.messages.contract import Contract
from publisher.learning.measurement.litert_metadata import ModelMetadata, TensorDescription

SIGMOID: Final = "LOGISTIC"
ROUNDING: Final = 0.08  # how far a sum of quantized shares may be from 1


@dataclass(frozen=True, slots=True)
class Hints:
    """What is known beside the outputs. `file_name`: as the user calls the model.

    `classes`: whether the user's data has a class for each sample. `operations`: of the
    model's graph; empty where unknown.
    """

    file_name: str = ""
    labels: int = 0
    classes: bool = False
    metadata: ModelMetadata = field(default_factory=ModelMetadata)
    operations: frozenset[str] = frozenset()

    @property
    def may_be_sigmoids(self) -> bool:
        return not self.operations or SIGMOID in self.operations


@dataclass(frozen=True, slots=True)
class SeenOutput:
    """One output. `row`: its shape for one input; `values` (samples, …), perhaps empty.

    `title`: all that names it, in lower case.
    """

    row: tuple[int, ...]
    dtype: str
    title: str
    values: NDArray[Any]

    @property
    def known(self) -> bool:
        return bool(self.values.size)

    @property
    def in_unit_range(self) -> bool:
        return self.known and float(self.values.min()) >= -1e-6 and float(self.values.max()) <= 1 + 1e-6

    @property
    def whole(self) -> bool:
        """Whether all values are whole numbers of 0 or more."""
        return self.known and float(self.values.min()) >= 0 and bool((self.values == np.rint(self.values)).all())

    @property
    def adds_up_to_one(self) -> bool:
        """Whether the last dimension holds shares of a whole."""
        return self.in_unit_range and bool((np.abs(self.values.sum(axis=-1) - 1.0) < ROUNDING).all())

    def named(self, *words: str) -> bool:
        return any(word in self.title for word in words)


@dataclass(frozen=True, slots=True)
class SeenModel:
    """All that a guess may look at. `input_row`: the shape of the first input."""

    input_row: tuple[int, ...]
    outputs: tuple[SeenOutput, ...]
    hints: Hints

    @property
    def takes_picture(self) -> bool:
        return len(self.input_row) == 3 and self.input_row[-1] in {1, 3, 4}


def flat_rows(values: NDArray[Any]) -> NDArray[Any]:
    """Values (samples, …) as float64, those of a free number of rows one after another.

    Empty for text, and for what cannot be put together.
    """
    if values.dtype.kind == "O":
        rows = [np.asarray(each) for each in values]
        if not rows or any(each.dtype.kind not in "fiub" or each.shape[1:] != rows[0].shape[1:] for each in rows):
            return np.zeros(0)
        values = np.concatenate(rows)
    return values.astype(np.float64) if values.dtype.kind in "fiub" else np.zeros(0)


def seen_model(contract: Contract, outputs: Sequence[NDArray[Any]], hints: Hints) -> SeenModel:
    """`outputs`: real values (samples, …) of each; none where nothing could be run."""
    seen, described = [], hints.metadata.outputs
    for at, tensor in enumerate(contract.outputs):
        said = described[at] if at < len(described) else TensorDescription()
        values = flat_rows(outputs[at]) if at < len(outputs) else np.zeros(0)
        seen.append(
            SeenOutput(
                row=contract.row_shape(tensor),
                dtype=tensor.dtype,
                title=f"{tensor.name} {said.name} {said.content}".lower().strip(),
                values=values if np.isfinite(values).all() else np.zeros(0),
            )
        )
    return SeenModel(contract.row_shape(contract.inputs[0]), tuple(seen), hints)
