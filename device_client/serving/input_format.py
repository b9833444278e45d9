"""Arranges the arrays of an application as a model takes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from device_client.adapters.runtime.tflite import Array
from protocol.errors import BadInput
from protocol.messages.contract import Contract, Tensor

_NUMBERS: Final = "fiub"  # kinds of numpy types that are numbers
_WHOLE: Final = "iub"
_DOT_MAX: Final = 8_192  # values; beyond, the library behind numpy may start threads of its own


class InputFormat:
    """Checks inputs against a contract, and brings them to its types."""

    def __init__(self, contract: Contract) -> None:
        self._tensors = contract.inputs
        tensor = contract.inputs[0]
        self._single = tensor.shape[1:] if len(contract.inputs) == 1 else None  # the shape of one input, the usual case
        self._dtype = np.dtype(tensor.dtype)

    def arrange(self, x: ArrayLike | Sequence[ArrayLike]) -> tuple[list[Array], bool]:
        """The inputs as arrays (n, ...) of the contract's types; whether a batch.

        Raises BadInput that names what is expected and what was given.
        """
        if type(x) is np.ndarray and x.shape == self._single and x.dtype is self._dtype and finite_array(x):
            return [x[np.newaxis]], False
        tensors = self._tensors
        given: Sequence[Any] = [x] if len(tensors) == 1 else _several(x, len(tensors))
        arranged = [
            _arranged(each, tensor, f"input {index}" if len(tensors) > 1 else "the input")
            for index, (each, tensor) in enumerate(zip(given, tensors, strict=True))
        ]
        if len({batched for _, batched in arranged}) > 1 or len({len(array) for array, _ in arranged}) > 1:
            raise BadInput(f"the inputs are batches of unlike length: {[len(array) for array, _ in arranged]}")
        return [array for array, _ in arranged], arranged[0][1]


def finite_array(array: Array) -> bool:
    """Whether all values are finite; a sum of squares keeps NaN and infinity."""
    if array.size <= _DOT_MAX:
        flat = array.ravel()
        if math.isfinite(flat.dot(flat)):
            return True
    return bool(np.isfinite(array).all())


def _several(x: Any, count: int) -> Sequence[Any]:
    if not isinstance(x, Sequence) or len(x) != count:
        given = f"a list of {len(x)}" if isinstance(x, Sequence) else type(x).__name__
        raise BadInput(f"the model takes {count} inputs as a list of arrays, not {given}")
    return x


def _arranged(given: Any, tensor: Tensor, name: str) -> tuple[Array, bool]:
    """One input as (n, ...) in the tensor's type, and whether it came as a batch."""
    array = _numbers(given, tensor, name)
    one = tensor.shape[1:]
    if array.shape == one:
        array, batched = array[np.newaxis], False
    elif array.ndim == len(one) + 1 and array.shape[1:] == one and len(array):
        batched = True
    else:
        raise BadInput(f"{name} has the shape {_shape(array.shape)}; {_wanted(tensor)}")
    if array.dtype != tensor.dtype:
        _check_range(array, tensor, name)
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused below
            array = array.astype(tensor.dtype)
    if array.dtype.kind == "f" and not finite_array(array):
        raise BadInput(f"{name} holds values that are no finite numbers (NaN or infinite); {_wanted(tensor)}")
    return array, batched


def _check_range(array: Array, tensor: Tensor, name: str) -> None:
    if np.dtype(tensor.dtype).kind not in "iu" or not array.size:
        return
    bounds = np.iinfo(tensor.dtype)
    for extreme in (int(array.min()), int(array.max())):
        if not bounds.min <= extreme <= bounds.max:
            span = f"{tensor.dtype} goes from {bounds.min} to {bounds.max}"
            raise BadInput(f"{name} holds {extreme}, and {span}; {_wanted(tensor)}")


def _numbers(given: Any, tensor: Tensor, name: str) -> Array:
    try:
        array = np.asarray(given)
    except ValueError as ragged:
        raise BadInput(f"{name} is no array: {ragged}"[:300]) from None
    except Exception as failed:
        raise BadInput(f"{name} is no array: {type(failed).__name__}: {failed}"[:300]) from failed
    allowed = _NUMBERS if np.dtype(tensor.dtype).kind == "f" else _WHOLE
    if array.dtype.kind not in allowed:
        raise BadInput(f"{name} holds values of type {array.dtype}; {_wanted(tensor)}")
    return array


def _wanted(tensor: Tensor) -> str:
    one, batch = _shape(tensor.shape[1:]), _shape(("n", *tensor.shape[1:]))
    return f"the model takes {tensor.dtype} of shape {one}, or a batch {batch}"


def _shape(sizes: tuple[object, ...]) -> str:
    return f"({', '.join(map(str, sizes))}{',' if len(sizes) == 1 else ''})"
