"""Inference over MQTT, for applications that are not in Python: request and response.

Both are plain JSON, so that a shell or a flow editor can write them.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AliasChoices, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from protocol.messages.base import Figure, Line, Name, Text, Version
from protocol.topics import CHUNK_MAX_BYTES

REQUEST_MAX_BYTES: Final = CHUNK_MAX_BYTES
SHORT_VALUE_MAX: Final = 64  # characters
NUMBER_MAX: Final = 2**53  # exact in every JSON reader
OUTPUT_VALUES_MAX: Final = 1_024  # numbers in all outputs together, so that they fit into a line

ErrorKind = Literal["bad_question", "no_model", "overloaded", "failed"]


def _short_value(given: Any) -> Any:
    """A short text or a whole number, as it is stored and repeated."""
    if isinstance(given, str) and len(given) <= SHORT_VALUE_MAX:
        return given
    if isinstance(given, int) and not isinstance(given, bool) and abs(given) <= NUMBER_MAX:
        return given
    raise PydanticCustomError("short_value", "a text of at most 64 characters or a whole number is wanted")


ShortValue = Annotated[str | int, BeforeValidator(_short_value)]


def _truth(given: Any) -> Any:
    """A class, or what another task takes as a truth; the task checks it."""
    return given if isinstance(given, float | bool | list | dict) else _short_value(given)


Truth = Annotated[Any, BeforeValidator(_truth)]


class InferenceRequest(Line):
    """One input for a model, or the true label of an earlier one, or both."""

    KIND: ClassVar[str] = "question"

    id: ShortValue | None = Field(default=None, description="returned in the response; identifies it for a later label")
    x: Any = Field(
        default=None,
        description="numbers, booleans or texts, flat or nested as the model expects; for a model with several"
        " inputs, a list of these or an object by input name",
        json_schema_extra={"type": ["array", "object"]},
    )
    label: Truth | None = Field(
        default=None,
        description="the truth: of a classifier the class, by name or number; of other tasks see TASKS.md",
        json_schema_extra={"type": ["string", "number", "boolean", "array", "object", "null"]},
    )


class InferenceResponse(Line):
    """The response to a request: error, answer, or both if only the label failed."""

    KIND: ClassVar[str] = "answer"

    id: ShortValue | None = Field(default=None, description="of the request")
    error: Text | None = Field(default=None, description="what was wrong, and how to correct it")
    label: str | None = Field(default=None, description="name of the class, if the model has labels")
    class_: int | None = Field(
        default=None,
        validation_alias=AliasChoices("class", "class_"),
        serialization_alias="class",
        description="the top class of a classifier",
    )
    confidence: Figure | None = Field(default=None, ge=0, le=1, description="of the top class, if a probability")
    version: Version | None = None
    variant: Name | None = None
    answer: dict[str, Any] | None = Field(
        default=None,
        description="in the words of the model's task, such as boxes, see TASKS.md; omitted where class"
        " or outputs say it all, and where it is too long",
    )
    latency_ms: Figure | None = Field(default=None, ge=0, description="of the prediction")
    waited_ms: Figure | None = Field(default=None, ge=0, description="from the request's arrival to its prediction")
    label_counted: bool | None = Field(default=None, description="whether the label was counted as feedback")
    outputs: tuple[Any, ...] | None = Field(
        default=None,
        description="one list for each output, nested as in the model; floats with four digits. Omitted if they have"
        f" more than {OUTPUT_VALUES_MAX:,} numbers together",
    )
    outputs_left_out: int | None = Field(default=None, ge=0, description="numbers in the omitted outputs")
    error_kind: ErrorKind | None = Field(default=None, description="the error, for programs")
    device: Name
    model: Name
