"""A model's answer to one input or a batch, and how outputs are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from device_client.adapters.runtime.tflite import Array
from device_client.serving.feedback_counter import FeedbackCounter
from device_client.serving.input_format import finite_array
from protocol.errors import BadInput
from protocol.messages.contract import Contract


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
    """Reads the outputs of a contract."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        first = contract.outputs[0].shape
        self._classifies = len(first) == 2 and first[1] >= 2
        self._has_batch = [tensor.shape[:1] == (1,) for tensor in contract.outputs]

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
