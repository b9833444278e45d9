"""Checks the arrays of an application for a model, and reads the model's outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from device_client.adapters.runtime.tflite import Array
from device_client.serving.feedback_counter import FeedbackCounter
from protocol.errors import BadInput
from protocol.messages.manifest import Contract, Tensor

_NUMBERS: Final = "fiub"  # kinds of numpy types that are numbers
_WHOLE: Final = "iub"
_DOT_MAX: Final = 8_192  # values; beyond, the library behind numpy may start threads of its own


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one input, or to a batch.

    `output`: float32 (classes,) or (n, classes); `outputs`: all of a model with
    several. `top`, `confidence` and `label` are None for a batch (see `each()`) and
    where the model does not choose between classes. `id` names the answer for a later
    label.
    """

    output: Array
    outputs: tuple[Array, ...]
    top: int | None
    confidence: float | None
    label: str | None
    version: str
    variant: str
    id: int
    parts: tuple[Prediction, ...] = ()
    counter: FeedbackCounter | None = field(default=None, repr=False, compare=False)  # where a label is counted

    def each(self) -> tuple[Prediction, ...]:
        """The answers of a batch one by one; of a single input, itself."""
        return self.parts or (self,)


class AnswerFormat:
    """Arranges inputs as a contract wants them, and reads its outputs."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        first = contract.outputs[0].shape
        self._classifies = len(first) == 2 and first[1] >= 2
        self._has_batch = [tensor.shape[:1] == (1,) for tensor in contract.outputs]
        tensor = contract.inputs[0]
        self._single = tensor.shape[1:] if len(contract.inputs) == 1 else None  # the shape of one input, the usual case
        self._dtype = np.dtype(tensor.dtype)

    def arrange(self, x: ArrayLike | Sequence[ArrayLike]) -> tuple[list[Array], bool]:
        """The inputs as arrays (n, ...) of the contract's types; whether a batch.

        Raises BadInput that names what is expected and what was given.
        """
        if type(x) is np.ndarray and x.shape == self._single and x.dtype is self._dtype and finite_array(x):
            return [x[np.newaxis]], False
        tensors = self.contract.inputs
        given: Sequence[Any] = [x] if len(tensors) == 1 else _several(x, len(tensors))
        arranged = [
            _arranged(each, tensor, f"input {index}" if len(tensors) > 1 else "the input")
            for index, (each, tensor) in enumerate(zip(given, tensors, strict=True))
        ]
        if len({batched for _, batched in arranged}) > 1 or len({len(array) for array, _ in arranged}) > 1:
            raise BadInput(f"the inputs are batches of unlike length: {[len(array) for array, _ in arranged]}")
        return [array for array, _ in arranged], arranged[0][1]

    def row(self, outputs: Sequence[Array], at: int, count: int) -> tuple[Array, ...]:
        """The outputs of one input in a batch of `count`, without batch dimension."""
        if len(outputs) == 1:
            return (outputs[0][at] if count > 1 or self._has_batch[0] else outputs[0],)
        return tuple(
            each[at] if count > 1 or batch else each for each, batch in zip(outputs, self._has_batch, strict=True)
        )

    def top_class(self, output: Array) -> tuple[int | None, float | None]:
        """A classifier's top class, and its value if that is a confidence (0-1)."""
        if not self._classifies:
            return None, None
        top = int(output.argmax())
        share = float(output.item(top))
        return top, share if 0.0 <= share <= 1.0 else None


def agree(ours: Sequence[Array], theirs: Sequence[Array], form: AnswerFormat, tolerance: float) -> bool:
    """Whether the top classes are equal, or else all values within `tolerance`."""
    ours_top, theirs_top = form.top_class(ours[0])[0], form.top_class(theirs[0])[0]
    if ours_top is not None:
        return ours_top == theirs_top
    return all(np.allclose(b, a, rtol=tolerance, atol=tolerance) for a, b in zip(ours, theirs, strict=True))


def finite(outputs: Sequence[Array]) -> bool:
    return finite_array(outputs[0]) if len(outputs) == 1 else all(finite_array(each) for each in outputs)


def finite_array(array: Array) -> bool:
    """Whether all values are finite; a sum of squares keeps NaN and infinity."""
    if array.size <= _DOT_MAX:
        flat = array.ravel()
        if math.isfinite(flat.dot(flat)):
            return True
    return bool(np.isfinite(array).all())


def entropy_millibits(output: Array) -> int | None:
    """Entropy of an answer in thousandths of a bit, if it is a distribution."""
    if not 0.98 < float(output.sum()) < 1.02 or float(output.min()) < 0.0:
        return None
    shares = output[output > 0]
    return max(0, round(-1000 * float(shares.dot(np.log2(shares)))))


def batch_of(parts: Sequence[Prediction], outputs: Sequence[Array]) -> Prediction:
    """The answers of a batch as one prediction; a batch of one keeps its class."""
    one = parts[0] if len(parts) == 1 else replace(parts[0], top=None, confidence=None, label=None)
    return replace(one, output=outputs[0], outputs=tuple(outputs), parts=tuple(parts), counter=None)


def class_index(true_class: int | str, labels: Sequence[str], contract: Contract) -> int:
    """The index of a class, given by name or number. Raises BadInput if unknown."""
    if isinstance(true_class, str):
        if true_class not in labels:
            raise BadInput(f"{true_class!r} is none of the model's labels: {', '.join(labels[:10]) or 'it has none'}")
        return labels.index(true_class)
    classes = contract.outputs[0].shape[-1]
    if not isinstance(true_class, int | np.integer) or not 0 <= true_class < classes:
        raise BadInput(f"the true class {true_class!r} is not between 0 and {classes - 1}")
    return int(true_class)


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
