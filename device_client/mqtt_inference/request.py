"""Reads a question that came over MQTT and puts the answer to it. Knows JSON, shapes and topics; asks no model itself.

Whoever asks is a stranger: what is read is bounded, and a device is never made to speak where it has no business.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ValidationError

from device_client.serving.prediction import Array, Prediction, finite
from protocol.errors import BadInput, BadModel
from protocol.messages.inference import OUTPUT_VALUES_MAX, QUESTION_MAX_BYTES, InferenceRequest, Mark
from protocol.messages.manifest import Contract, Tensor
from protocol.mqtt.link import ReplyTo

REPLY_TOPIC_MAX: Final = 256  # characters
CORRELATION_MAX_BYTES: Final = 1_024
DIGITS: Final = 4  # of each float in an answer
_FORM: Final = 'send one line such as {"id": "1", "x": [0.1, 0.2]}'


class _Marked(BaseModel):
    id: Mark | None = None


def read(payload: bytes) -> InferenceRequest:
    """The question. Raises BadInput that names what is wrong with it."""
    if not payload:
        raise BadInput("an empty message", hint='mosquitto_rr 2.0 sends nothing of -f and -s: write -m "$(cat FILE)"')
    try:
        question = InferenceRequest.from_line(payload, max_bytes=QUESTION_MAX_BYTES)
    except BadInput as refused:
        large = len(payload) > QUESTION_MAX_BYTES
        hint = "send a smaller input; one of that size is for EdgeModel in Python" if large else _FORM
        raise BadInput(refused.message, hint=hint) from None
    if question.x is None and question.label is None:
        raise BadInput("a question needs x, or the label of an earlier one", hint=_FORM)
    if question.x is None and question.id is None:
        raise BadInput("a label needs x, or the id of the question that it is for", hint=_FORM)
    return question


def mark_of(payload: bytes) -> str | int | None:
    """The id of what is otherwise no question, or of one that nobody will answer; None where it has none."""
    if len(payload) > QUESTION_MAX_BYTES:
        return None
    try:
        return _Marked.model_validate_json(payload).id
    except ValidationError:
        return None


def arrange(x: Any, contract: Contract) -> Array | list[Array]:
    """The one input of a question as a serving takes it, but for what the serving itself refuses. Raises BadInput."""
    tensors = contract.inputs
    given = _by_name(x, tensors) if isinstance(x, dict) else [x] if len(tensors) == 1 else x
    if not isinstance(given, list) or len(given) != len(tensors):
        raise BadInput(
            f"the model takes {len(tensors)} inputs", hint=f"x is a list of them, or an object with {_names(tensors)}"
        )
    arranged = [_shaped(each, tensor) for each, tensor in zip(given, tensors, strict=True)]
    return arranged[0] if len(tensors) == 1 else arranged


def place_of_answer(reply_to: ReplyTo | None, output: str, root: str) -> str:
    """Where the answer goes: to `output`, unless the sender awaits it elsewhere, by MQTT 5.

    Under the fleet's `root` a device speaks on `output` and one level below it, whoever asks; elsewhere the broker's
    rules decide. Raises BadInput.
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


def said_of(prediction: Prediction) -> dict[str, Any]:
    """The model's part of an answer. Raises BadModel when it gave something that is no number."""
    if not finite(prediction.outputs):
        raise BadModel(f"{prediction.version} gave an answer that is no number")
    count = sum(each.size for each in prediction.outputs)
    whole = count <= OUTPUT_VALUES_MAX
    return {
        "label": prediction.label,
        "class_": prediction.top,
        "confidence": prediction.confidence,
        "version": prediction.version,
        "variant": prediction.variant,
        "outputs": tuple(_rounded(each) for each in prediction.outputs) if whole else None,
        "outputs_left_out": None if whole else count,
    }


def _is_plain(topic: str) -> bool:
    return (
        0 < len(topic) <= REPLY_TOPIC_MAX
        and topic.isprintable()
        and topic[0] != "$"
        and "+" not in topic
        and "#" not in topic
    )


def _by_name(x: dict[str, Any], tensors: Sequence[Tensor]) -> list[Any]:
    """The inputs in the model's order. A name is the contract's, with or without TensorFlow's trimmings."""
    found = [x.get(tensor.name, x.get(_plain_name(tensor))) for tensor in tensors]
    if len(x) != len(tensors) or any(each is None for each in found):
        raise BadInput(f"x has {', '.join(sorted(x))[:100] or 'nothing'}", hint=f"the model takes {_names(tensors)}")
    return found


def _plain_name(tensor: Tensor) -> str:
    return tensor.name.removeprefix("serving_default_").partition(":")[0]


def _names(tensors: Sequence[Tensor]) -> str:
    return ", ".join(_plain_name(tensor) for tensor in tensors)


def _shaped(given: Any, tensor: Tensor) -> Any:
    """One input in the model's shape if it has the numbers for it, flat or with a batch of one; else as it came."""
    one = tensor.shape[1:]
    try:
        array = np.asarray(given)
    except ValueError:
        return given  # rows of unlike length: the serving says so
    if array.shape != one and array.shape[1:] == one and len(array) > 1:
        raise BadInput(f"{len(array)} inputs in one message", hint="send one input in a message")
    if array.shape in {(math.prod(one),), (1, *one)}:
        return array.reshape(one)
    return array


def _rounded(output: Array) -> Any:
    if output.dtype.kind != "f":
        return output.tolist()
    digits = [float(f"{value:.{DIGITS}g}") for value in output.ravel().tolist()]
    return np.array(digits).reshape(output.shape).tolist()
