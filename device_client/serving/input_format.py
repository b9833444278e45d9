"""Arranges the arrays of an application as a model takes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from device_client.adapters.runtime.tflite import Array
from protocol.errors import BadInput
from protocol.messages.contract import FREE, Contract, bare_name
from protocol.tensor_values import STRING, array_type, quantize

Inputs = NDArray[Any] | list[Any] | tuple[Any, ...] | Mapping[str, Any]
_TAKEN: Final = {"f": "fiub", "c": "cfiub", "i": "iub", "u": "iub", "b": "b", "O": "O"}  # kinds of numpy types
_DOT_MAX: Final = 8_192  # values; beyond, the library behind numpy may start threads of its own


class InputFormat:
    """Checks inputs against a contract, and brings them to its types.

    Whole numbers are stored values of a quantized input, others real ones.
    """

    def __init__(self, contract: Contract) -> None:
        self._inputs = [_Input(contract, at) for at in range(len(contract.inputs))]
        first = self._inputs[0]
        single = len(self._inputs) == 1 and not first.free and first.dtype.kind != "O"  # the usual case
        self._row, self._dtype, self._checked = first.row if single else None, first.dtype, first.dtype.kind in "fc"

    def arrange(self, x: Inputs) -> tuple[list[Array], bool]:
        """The inputs as arrays (n, ...) of the contract's types; whether a batch.

        Raises BadInput that names what is expected and what was given.
        """
        if (
            type(x) is np.ndarray
            and x.shape == self._row
            and x.dtype is self._dtype
            and (not self._checked or finite_array(x))
        ):
            return [x[np.newaxis]], False
        inputs = self._inputs
        arranged = [each.arranged(given) for each, given in zip(inputs, self._given(x), strict=True)]
        if len({batched for _, batched in arranged}) > 1 or len({len(array) for array, _ in arranged}) > 1:
            raise BadInput(f"the inputs are batches of unlike length: {[len(array) for array, _ in arranged]}")
        return [array for array, _ in arranged], arranged[0][1]

    def _given(self, x: Any) -> Sequence[Any]:
        """One array for each input, in order; by name with or without its prefix."""
        count = len(self._inputs)
        if isinstance(x, Mapping):
            found = [next((x[name] for name in each.names if name in x), None) for each in self._inputs]
            if len(x) != count or any(given is None for given in found):
                wanted = ", ".join(each.names[-1] for each in self._inputs)
                raise BadInput(f"the model takes {wanted}; given are {', '.join(map(str, x)) or 'none'}"[:300])
            return found
        if count == 1:
            return [x]
        if not isinstance(x, Sequence) or len(x) != count:
            given = f"a list of {len(x)}" if isinstance(x, Sequence) else type(x).__name__
            raise BadInput(f"the model takes {count} inputs by name or as a list of arrays, not {given}")
        return x


class _Input:
    def __init__(self, contract: Contract, at: int) -> None:
        self._tensor = tensor = contract.inputs[at]
        self._label = f"input {at}" if len(contract.inputs) > 1 else "the input"
        self.names = (tensor.name, bare_name(tensor.name))
        self.row, self.dtype = contract.row_shape(tensor), array_type(tensor.dtype)
        self.free = FREE in self.row
        batched = len(tensor.shape) - len(self.row)
        self._least = tensor.size_min[batched:] or tuple(1 for _ in self.row)
        self._most: tuple[int | None, ...] = tensor.size_max[batched:] or tuple(None for _ in self.row)

    def arranged(self, given: Any) -> tuple[Array, bool]:
        """As (n, ...) in the tensor's type, and whether it came as a batch."""
        array = self._values(given)
        if self._fits(array.shape):
            array, batched = array[np.newaxis], False
        elif len(array.shape) == len(self.row) + 1 and self._fits(array.shape[1:]) and len(array):
            batched = True
        else:
            raise BadInput(f"{self._label} has the shape {_shape(array.shape)}; {self._wanted()}")
        return self._converted(array), batched

    def _fits(self, shape: tuple[int, ...]) -> bool:
        if not self.free:
            return shape == self.row
        return len(shape) == len(self.row) and all(
            size == own if own != FREE else size >= least and (most is None or size <= most)
            for size, own, least, most in zip(shape, self.row, self._least, self._most, strict=True)
        )

    def _converted(self, array: Array) -> Array:
        tensor = self._tensor
        if tensor.dtype == STRING:
            return _as_bytes(array, self._label)
        real = bool(tensor.scale) and array.dtype.kind == "f"
        if array.dtype != self.dtype and not real:
            self._check_range(array)
            with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused below
                array = array.astype(self.dtype)
        if not finite_array(array):
            raise BadInput(f"{self._label} holds values that are no finite numbers (NaN or infinite); {self._wanted()}")
        return quantize(array, tensor.scale, tensor.zero_point, self.dtype) if real else array

    def _check_range(self, array: Array) -> None:
        if self.dtype.kind not in "iu" or not array.size:
            return
        bounds = np.iinfo(self.dtype)
        for extreme in (int(array.min()), int(array.max())):
            if not bounds.min <= extreme <= bounds.max:
                span = f"{self.dtype} goes from {bounds.min} to {bounds.max}"
                raise BadInput(f"{self._label} holds {extreme}, and {span}; {self._wanted()}")

    def _values(self, given: Any) -> Array:
        try:
            array = np.asarray(given, self.dtype if self.dtype.kind == "O" else None)
        except ValueError as ragged:
            raise BadInput(f"{self._label} is no array: {ragged}"[:300]) from None
        except Exception as failed:
            raise BadInput(f"{self._label} is no array: {type(failed).__name__}: {failed}"[:300]) from failed
        taken = _TAKEN[self.dtype.kind] + ("f" if self._tensor.scale else "")
        if array.dtype.kind not in taken:
            raise BadInput(f"{self._label} holds values of type {array.dtype}; {self._wanted()}")
        return array

    def _wanted(self) -> str:
        sizes = [str(own) if own != FREE else self._span(at) for at, own in enumerate(self.row)]
        kind = self._tensor.dtype + (" (or real numbers)" if self._tensor.scale else "")
        return f"the model takes {kind} of shape {_shape(sizes)}, or a batch {_shape(['n', *sizes])}"

    def _span(self, at: int) -> str:
        return f"{self._least[at]} to {self._most[at] or 'any'}"


def finite_array(array: Array) -> bool:
    """Whether all values are finite; a sum of squares keeps NaN and infinity."""
    kind = array.dtype.kind
    if kind == "f" and array.size <= _DOT_MAX:
        flat = array.ravel()
        if math.isfinite(flat.dot(flat)):
            return True
    return kind not in "fc" or bool(np.isfinite(array).all())


def _as_bytes(array: Array, label: str) -> Array:
    """Texts as UTF-8; an array of objects, as numpy's own type drops final zeros."""
    texts = [text.encode() if isinstance(text, str) else text for text in array.ravel().tolist()]
    if not all(isinstance(text, bytes) for text in texts):
        raise BadInput(f"{label} holds values that are neither text nor bytes")
    arranged = np.empty(len(texts), object)
    arranged[:] = texts
    return arranged.reshape(array.shape)


def _shape(sizes: Sequence[object]) -> str:
    return f"({', '.join(map(str, sizes))}{',' if len(sizes) == 1 else ''})"
