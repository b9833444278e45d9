"""What goes into a prediction and what comes out: arranging an application's arrays, naming the answer. No model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from device_client.serving.feedback_counter import FeedbackCounter
from protocol.errors import BadInput
from protocol.messages.manifest import Contract, Tensor

Array = NDArray[Any]
_NUMBERS: Final = "fiub"  # kinds of numpy types that stand for numbers
_WHOLE: Final = "iub"
_DOT_MAX: Final = 8_192  # values; beyond, the library behind numpy may start threads of its own


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one input, or to a batch; then `top`, `confidence` and `label` are None, and `each()` has them.

    `output`: float32 (classes,) or (n, classes); `outputs`: all of them, where a model has several. `top` is None too
    where the model does not choose between classes. `id` names the answer for a label that comes later.
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
    counts: FeedbackCounter | None = field(default=None, repr=False, compare=False)  # where a label for it is counted

    def each(self) -> tuple[Prediction, ...]:
        """The answers of a batch one by one; itself where it is one."""
        return self.parts or (self,)


class AnswerFormat:
    """How a contract's inputs must look, and how to read its first output."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        first = contract.outputs[0].shape
        self._chooses = len(first) == 2 and first[1] >= 2
        self._with_batch = [tensor.shape[:1] == (1,) for tensor in contract.outputs]
        tensor = contract.inputs[0]
        self._usual = tensor.shape[1:] if len(contract.inputs) == 1 else None  # one array, as most applications give it
        self._dtype = np.dtype(tensor.dtype)

    def arrange(self, x: ArrayLike | Sequence[ArrayLike]) -> tuple[list[Array], bool]:
        """The inputs as arrays (n, ...) in the contract's types, and whether a batch was given.

        Raises BadInput that names what is expected and what was given.
        """
        if type(x) is np.ndarray and x.shape == self._usual and x.dtype is self._dtype and finite_array(x):
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
        """The outputs of one input of a batch of `count`, without the batch dimension."""
        if len(outputs) == 1:
            return (outputs[0][at] if count > 1 or self._with_batch[0] else outputs[0],)
        return tuple(
            each[at] if count > 1 or batch else each for each, batch in zip(outputs, self._with_batch, strict=True)
        )

    def choice(self, output: Array) -> tuple[int | None, float | None]:
        """The top class and how sure the model is (0-1), where it chooses between classes and gives shares."""
        if not self._chooses:
            return None, None
        top = int(output.argmax())
        share = float(output.item(top))
        return top, share if 0.0 <= share <= 1.0 else None


def agree(ours: Sequence[Array], theirs: Sequence[Array], form: AnswerFormat, tolerance: float) -> bool:
    """Whether two models gave the same answer: the same top class, or else values within the tolerance of each other.

    `tolerance` is a share of the value, and an absolute difference near zero.
    """
    ours_top, theirs_top = form.choice(ours[0])[0], form.choice(theirs[0])[0]
    if ours_top is not None:
        return ours_top == theirs_top
    return all(np.allclose(b, a, rtol=tolerance, atol=tolerance) for a, b in zip(ours, theirs, strict=True))


def finite(outputs: Sequence[Array]) -> bool:
    """Whether every value is a finite number."""
    return finite_array(outputs[0]) if len(outputs) == 1 else all(finite_array(each) for each in outputs)


def finite_array(array: Array) -> bool:
    """The same of one array; `array.dtype` may be any of numbers.

    The sum of squares tells in a third of the time: NaN and infinity stay in it. If it overflows, each value is asked.
    """
    if array.size <= _DOT_MAX:
        flat = array.ravel()
        if math.isfinite(flat.dot(flat)):
            return True
    return bool(np.isfinite(array).all())


def entropy_millibits(output: Array) -> int | None:
    """How undecided an answer is, in thousandths of a bit; None where it is no set of shares."""
    if not 0.98 < float(output.sum()) < 1.02 or float(output.min()) < 0.0:
        return None
    shares = output[output > 0]
    return max(0, round(-1000 * float(shares.dot(np.log2(shares)))))


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
    """A whole number that the tensor cannot hold would wrap around to another one, without a word."""
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
