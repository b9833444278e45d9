"""Inference over MQTT: what an application asks that is not in Python, and what a device answers.

Both are plain JSON, so that a shell or a flow editor can write them. What an input must look like, the model says.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AliasChoices, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from protocol.messages.base import Figure, Line, Name, Text, Version
from protocol.topics import CHUNK_MAX_BYTES

QUESTION_MAX_BYTES: Final = CHUNK_MAX_BYTES
MARK_MAX: Final = 64  # characters
NUMBER_MAX: Final = 2**53  # what every reader of JSON knows exactly
OUTPUT_VALUES_MAX: Final = 1_024  # numbers in all outputs together; with four digits each, a line has room for them

Trouble = Literal["bad_question", "no_model", "overloaded", "failed"]


def _mark(given: Any) -> Any:
    """A text or a whole number, and short: it is remembered, and said again."""
    if isinstance(given, str) and len(given) <= MARK_MAX:
        return given
    if isinstance(given, int) and not isinstance(given, bool) and abs(given) <= NUMBER_MAX:
        return given
    raise PydanticCustomError("mark", "a text of at most 64 characters or a whole number is wanted")


Mark = Annotated[str | int, BeforeValidator(_mark)]


class InferenceRequest(Line):
    """One input for a model, or the truth about an earlier one, or both."""

    id: Mark | None = Field(default=None, description="comes back in the answer, and names it for a later label")
    x: Any = Field(
        default=None,
        description="numbers, flat or nested as the model wants them; of several inputs a list of such, or an object by"
        " their names",
        json_schema_extra={"type": ["array", "object"]},
    )
    label: Mark | None = Field(default=None, description="what it truly is: the class by its name or number")


class InferenceResponse(Line):
    """What came of one question. It has `error` or the model's answer; both where only the label was refused."""

    id: Mark | None = Field(default=None, description="of the question")
    error: Text | None = Field(default=None, description="what was wrong, and the way out")
    label: str | None = Field(default=None, description="of the class, where the model names its classes")
    class_: int | None = Field(
        default=None,
        validation_alias=AliasChoices("class", "class_"),
        serialization_alias="class",
        description="the likeliest, where the model chooses between classes",
    )
    confidence: Figure | None = Field(default=None, ge=0, le=1, description="how sure it is, where it gives shares")
    version: Version | None = None
    variant: Name | None = None
    latency_ms: Figure | None = Field(default=None, ge=0, description="of the prediction")
    waited_ms: Figure | None = Field(default=None, ge=0, description="from the question's arrival to its prediction")
    label_counted: bool | None = Field(default=None, description="whether the label was counted as feedback")
    outputs: tuple[Any, ...] | None = Field(
        default=None,
        description="one list for each output, nested as the model has it; floats with four digits. Left out where they"
        f" have more than {OUTPUT_VALUES_MAX:,} numbers together",
    )
    outputs_left_out: int | None = Field(default=None, ge=0, description="how many numbers were too many")
    error_kind: Trouble | None = Field(default=None, description="the error, for programs")
    device: Name
    model: Name
