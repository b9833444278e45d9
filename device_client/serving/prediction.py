"""A model's answer to one input or a batch, and how outputs are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from device_client.adapters.runtime.tflite import Array
from device_client.serving.feedback_counter import FeedbackCounter
from device_client.serving.input_format import finite_array
from protocol.messages.contract import Contract, Tensor
from protocol.tasks.classification import SigmoidClassification, SoftmaxClassification
from protocol.tasks.selection import task_of
from protocol.tensor_values import real_values


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one input, or to a batch.

    `output`: (classes,) or (n, classes) in the model's own type; `outputs`: all of a
    model with several. Of a batch, rows of unlike sizes are an array of arrays. `top`,
    `confidence` and `label` are None for a batch (see `each()`) and where the model
    does not choose between classes; `answer` has what it gives instead. `id` names the
    answer for a later label.
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
    form: AnswerFormat | None = field(default=None, repr=False, compare=False)

    @property
    def answer(self) -> Any:
        """In the task's words, such as `answer.boxes`; read at each access.

        None for a batch (see `each()`), and where the model failed.
        """
        if self.form is None or len(self.parts) > 1 or not finite(self.each()[0].outputs):
            return None
        return self.form.task.answer(self.form.real(self.each()[0].outputs))

    @property
    def real_output(self) -> Array:
        """`output` as real numbers, where the model's own are quantized."""
        return self.real_outputs[0]

    @property
    def real_outputs(self) -> tuple[Array, ...]:
        return self.form.real(self.outputs) if self.form else self.outputs

    def each(self) -> tuple[Prediction, ...]:
        """The answers of a batch one by one; of a single input, itself."""
        return self.parts or (self,)


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What a later label needs of an answer: the class if that is all, or outputs."""

    top: int | None
    outputs: tuple[Array, ...] | None = None

    @property
    def size_bytes(self) -> int:
        return sum(each.nbytes for each in self.outputs or ())


class AnswerFormat:
    """Reads the outputs of a contract."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.task = task_of(contract)
        self.decides = isinstance(self.task, SoftmaxClassification | SigmoidClassification)  # for one class
        self._has_batch = [contract.row_shape(tensor) != tensor.shape for tensor in contract.outputs]
        self._as_stored = all(_is_real(tensor) for tensor in contract.outputs)

    def row(self, outputs: Sequence[Array], at: int, count: int) -> tuple[Array, ...]:
        """The outputs of one input in a batch of `count`, without batch dimension."""
        if len(outputs) == 1:
            return (_row(outputs[0], at) if count > 1 or self._has_batch[0] else outputs[0],)
        return tuple(
            _row(each, at) if count > 1 or batch else each for each, batch in zip(outputs, self._has_batch, strict=True)
        )

    def real(self, outputs: Sequence[Array]) -> tuple[Array, ...]:
        """Outputs as real numbers; the same where none is quantized."""
        if self._as_stored:
            return tuple(outputs)
        return tuple(real_values(each, tensor) for each, tensor in zip(outputs, self.contract.outputs, strict=True))

    def kept(self, outputs: Sequence[Array], top: int | None) -> KeptAnswer:
        """`outputs`: in real numbers. They are not copied."""
        return KeptAnswer(top) if self.decides else KeptAnswer(top, tuple(outputs))

    def fit(self, answer: KeptAnswer, truth: Any) -> float:
        """How well an answer fits a truth that the task has checked, 0-1."""
        return float(answer.top == truth) if answer.outputs is None else self.task.fit(answer.outputs, truth)


def _row(array: Array, at: int) -> Array:
    row = array[at]
    return row if isinstance(row, np.ndarray) else np.asarray(array[at : at + 1]).reshape(())  # a single value


def _is_real(tensor: Tensor) -> bool:
    return not tensor.scale and not tensor.dtype.startswith("complex")


def finite(outputs: Sequence[Array]) -> bool:
    return finite_array(outputs[0]) if len(outputs) == 1 else all(finite_array(each) for each in outputs)


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
