"""Outputs by their roles, and how far two are apart, in units of how much they vary.

An output's spread is measured on the golden set. In its units a constant is far from
whatever it stands for, and the rounding of an 8-bit copy is near, at any scale.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from protocol.errors import BadInput
from protocol.messages.contract import FREE, Contract, Tensor
from protocol.tasks.task import Array, Outputs
from protocol.tasks.truths import real_values


def role_index(contract: Contract, role: str, otherwise: int = 0) -> int:
    """The index of the output with this role; `otherwise` where none is declared."""
    return next((at for at, tensor in enumerate(contract.outputs) if tensor.role == role), otherwise)


def has_role(contract: Contract, role: str) -> bool:
    return any(tensor.role == role for tensor in contract.outputs)


def real_numbers(values: Array, tensor: Tensor) -> Array:
    """Those of a quantized tensor's values; any others as they are."""
    if not tensor.scale:
        return values
    real: Array = (values - np.float64(tensor.zero_point)) * tensor.scale
    return real


def spread_of(tensor: Tensor) -> Array | None:
    """The spread, (1,) or one for each of the last dimension; None where unknown."""
    known = np.asarray([each for each in tensor.spread if each > 0], np.float64)
    if len(known) == 0:
        return None
    each = np.asarray(tensor.spread, np.float64)
    # what never varied on the golden set is measured by what varied least
    spread: Array = np.where(each > 0, each, known.min())
    return spread


def distances(ours: Array, theirs: Array, spread: Array | None) -> Array:
    """Absolute differences in spreads; without one, relative to the size of `ours`."""
    ours = np.asarray(ours, np.float64)
    if spread is None:
        spread = np.asarray([float(np.sqrt(np.mean(ours * ours))) or 1.0])
    apart: Array = np.abs(ours - theirs) / spread
    return apart


def closeness(ours: Array, theirs: Array, spread: Array | None) -> float:
    """1 minus the mean distance, at least 0; 0 for other shapes, 1 for no values."""
    if ours.shape != theirs.shape:
        return 0.0
    if not ours.size:
        return 1.0
    if ours.dtype.kind not in "fiub":
        return float(np.mean(ours == theirs))  # text
    return max(0.0, 1.0 - float(distances(ours, theirs, spread).mean()))


class MainOutput:
    """The one output that a task reads, and how truths are arranged for it."""

    def __init__(self, contract: Contract, role: str) -> None:
        self.at = role_index(contract, role)
        self.spread = spread_of(contract.outputs[self.at])
        self._row = contract.row_shape(contract.outputs[self.at])
        self.others = Others(contract.outputs, frozenset({self.at}))

    def truth(self, given: Any) -> Array:
        """As many numbers as the output has. Raises BadInput."""
        values = real_values(given).ravel()
        if FREE not in self._row and values.size != math.prod(self._row):
            raise BadInput(f"the truth has {values.size} values, and the model gives {math.prod(self._row)}")
        return values

    def pair(self, outputs: Outputs, truth: Array) -> tuple[Array, Array]:
        """A truth in the shape of the output, if it fits, and the output."""
        given = outputs[self.at]
        return (truth.reshape(given.shape) if truth.size == given.size else truth), given


class Others:
    """The outputs that a task does not read: they count by their distance."""

    def __init__(self, tensors: tuple[Tensor, ...], read: frozenset[int]) -> None:
        """`read`: the indices of the outputs that the task compares in its own way."""
        spreads = [(at, spread_of(tensor)) for at, tensor in enumerate(tensors) if at not in read]
        # a contract from before there were spreads: these outputs were not compared
        self._spreads = [(at, spread) for at, spread in spreads if spread is not None]

    def alike(self, ours: Outputs, theirs: Outputs) -> float:
        """The least alike, 1 if there are none."""
        return min((closeness(ours[at], theirs[at], spread) for at, spread in self._spreads), default=1.0)
