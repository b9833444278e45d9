"""Parses an inference request and builds the response: JSON, shapes, topics.

Requests are untrusted input: sizes are bounded, and a response never goes to a topic of
the fleet that is not the device's own.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ValidationError

from device_client.adapters.runtime.tflite import Array
from device_client.serving.prediction import Prediction, finite
from protocol.errors import BadInput, BadModel
from protocol.messages.contract import FREE, Contract, Tensor, bare_name
from protocol.messages.inference import OUTPUT_VALUES_MAX, REQUEST_MAX_BYTES, InferenceRequest, ShortValue
from protocol.mqtt.link import ReplyTo
from protocol.tasks.classification import ClassAnswer
from protocol.tasks.scores import ScoresAnswer

REPLY_TOPIC_MAX: Final = 256  # characters
CORRELATION_MAX_BYTES: Final = 1_024
DIGITS: Final = 4  # of each float in a response
_FORM: Final = 'send one line such as {"id": "1", "x": [0.1, 0.2]}'


class _WithId(BaseModel):
    id: ShortValue | None = None


def read_request(payload: bytes) -> InferenceRequest:
    """Parse a request; one without `x` has `id` and `label`. Raises BadInput."""
    if not payload:
        raise BadInput("an empty message", hint='mosquitto_rr 2.0 sends nothing of -f and -s: write -m "$(cat FILE)"')
    try:
        request = InferenceRequest.from_line(payload, max_bytes=REQUEST_MAX_BYTES)
    except BadInput as refused:
        large = len(payload) > REQUEST_MAX_BYTES
        hint = "send a smaller input; one of that size is for EdgeModel in Python" if large else _FORM
        raise BadInput(refused.message, hint=hint) from None
    if request.x is None and request.label is None:
        raise BadInput("a question needs x, or the label of an earlier one", hint=_FORM)
    if request.x is None and request.id is None:
        raise BadInput("a label needs x, or the id of the question that it is for", hint=_FORM)
    return request


def read_id(payload: bytes) -> str | int | None:
    """The id of a request that is malformed or rejected, or None."""
    if len(payload) > REQUEST_MAX_BYTES:
        return None
    try:
        return _WithId.model_validate_json(payload).id
    except ValidationError:
        return None


def arrange(x: Any, contract: Contract) -> Array | list[Array]:
    """Arrange inputs by the contract; the serving rejects others. Raises BadInput."""
    tensors = contract.inputs
    given = _by_name(x, tensors) if isinstance(x, dict) else [x] if len(tensors) == 1 else x
    if not isinstance(given, list) or len(given) != len(tensors):
        raise BadInput(
            f"the model takes {len(tensors)} inputs", hint=f"x is a list of them, or an object with {_names(tensors)}"
        )
    arranged = [_shaped(each, contract.row_shape(tensor)) for each, tensor in zip(given, tensors, strict=True)]
    return arranged[0] if len(tensors) == 1 else arranged


def response_topic(reply_to: ReplyTo | None, output: str, root: str) -> str:
    """The topic of the response: that of MQTT 5 if given, else `output`.

    Under the fleet's `root` only `output` and one level below it are allowed; elsewhere
    the broker's access rules decide. Raises BadInput.
    """
    if reply_to is None:
        return output
    topic = reply_to.topic
    if not _is_plain(topic) or len(reply_to.correlation) > CORRELATION_MAX_BYTES:
        raise BadInput(
            "the response topic or the correlation data cannot be used",
            hint=f"no wildcards, no '$', at most {REPLY_TOPIC_MAX} characters and {CORRELATION_MAX_BYTES} bytes",
        )
    below = topic.removeprefix(f"{output}/")
    is_own = topic == output or (below != topic and below != "" and "/" not in below)
    if topic.partition("/")[0] == root and not is_own:
        raise BadInput(f"no answer is given on {topic}", hint=f"await it on {output}, or on {output}/NAME")
    return topic


def response_fields(prediction: Prediction) -> dict[str, Any]:
    """The model's part of a response. Raises BadModel when an output is not finite."""
    if not finite(prediction.outputs):
        raise BadModel(f"{prediction.version} gave an answer that is no number")
    outputs = prediction.real_outputs
    count = sum(each.size for each in outputs)
    whole = count <= OUTPUT_VALUES_MAX
    return {
        "label": prediction.label,
        "class_": prediction.top,
        "confidence": prediction.confidence,
        "version": prediction.version,
        "variant": prediction.variant,
        "answer": _answer_fields(prediction.answer, OUTPUT_VALUES_MAX - count if whole else OUTPUT_VALUES_MAX),
        "outputs": tuple(_rounded(each) for each in outputs) if whole else None,
        "outputs_left_out": None if whole else count,
    }


def _answer_fields(answer: Any, values_max: int) -> dict[str, Any] | None:
    """The answer in its task's words; None for a class, bare outputs, or too many."""
    if answer is None or isinstance(answer, ClassAnswer | ScoresAnswer):
        return None
    parts = {name: value for name, value in dataclasses.asdict(answer).items() if value is not None}
    arrays = [each for value in parts.values() for each in (value if isinstance(value, tuple) else [value])]
    if sum(np.size(each) for each in arrays) > values_max:
        return None
    return {name: _listed(value) for name, value in parts.items()}


def _listed(value: Any) -> Any:
    return [_rounded(np.asarray(each)) for each in value] if isinstance(value, tuple) else _rounded(np.asarray(value))


def _is_plain(topic: str) -> bool:
    return 0 < len(topic) <= REPLY_TOPIC_MAX and topic.isprintable() and topic[0] != "$" and not {*"+#"} & {*topic}


def _by_name(x: dict[str, Any], tensors: Sequence[Tensor]) -> list[Any]:
    """The inputs in the model's order, named with or without TensorFlow's prefix."""
    found = [x.get(tensor.name, x.get(bare_name(tensor.name))) for tensor in tensors]
    if len(x) != len(tensors) or any(each is None for each in found):
        raise BadInput(f"the model takes {_names(tensors)}; x has {', '.join(sorted(x)) or 'nothing'}")
    return found


def _names(tensors: Sequence[Tensor]) -> str:
    return ", ".join(bare_name(tensor.name) for tensor in tensors)


def _shaped(given: Any, row: tuple[int, ...]) -> Any:
    """Reshape a flat input or a batch of one; leave others unchanged."""
    try:
        array = np.asarray(given)
    except ValueError:
        return given  # rows of different lengths: rejected by the serving
    if FREE in row:
        return _shaped_freely(array, row)
    if array.shape != row and array.shape[1:] == row and len(array) > 1:
        raise BadInput(f"{len(array)} inputs in one message", hint="send one input in a message")
    if array.shape in {(math.prod(row),), (1, *row)}:
        return array.reshape(row)
    return array


def _shaped_freely(array: Array, row: tuple[int, ...]) -> Array:
    """A flat input can have one free size, which its length tells."""
    if array.ndim == len(row) + 1 and len(array) == 1:
        return array.reshape(array.shape[1:])
    fixed = math.prod(size for size in row if size != FREE)
    if array.ndim == 1 and row.count(FREE) == 1 and array.size % fixed == 0:
        return array.reshape(row)  # numpy has the same -1
    return array


def _rounded(output: Array) -> Any:
    """As JSON: floats with few digits, texts as UTF-8."""
    if output.dtype == object:
        texts = [text.decode(errors="replace") for text in output.ravel().tolist()]
        return np.array(texts, object).reshape(output.shape).tolist()
    if output.dtype.kind != "f":
        return output.tolist()
    digits = [float(f"{value:.{DIGITS}g}") for value in output.ravel().tolist()]
    return np.array(digits).reshape(output.shape).tolist()
