"""Base of all messages: one line of JSON, frozen, bounded, with a major version.

Unknown fields are ignored, so that an older reader understands a newer writer.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationError,
)

from protocol.errors import BadInput
from protocol.topics import LINE_MAX_BYTES, NAME, SHA256

MAJOR: Final = 1
TEXT_MAX: Final = 500  # characters


def _sendable(text: Any) -> Any:
    """Truncate a text and replace invalid characters, so that it can be sent."""
    if not isinstance(text, str):
        return text
    text = text.encode(errors="replace").decode()
    return text[: TEXT_MAX - 2] + " …" if len(text) > TEXT_MAX else text


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC).replace(microsecond=at.microsecond // 1000 * 1000)
    except OverflowError:
        raise ValueError("a time out of range in UTC") from None


Name = Annotated[str, StringConstraints(pattern=f"^{NAME.pattern}$")]
Sha256 = Annotated[str, StringConstraints(pattern=f"^{SHA256.pattern}$")]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}$")]
Text = Annotated[str, BeforeValidator(_sendable), StringConstraints(max_length=TEXT_MAX)]
Percent = Annotated[float, Field(ge=0, le=100)]
Figure = Annotated[float, PlainSerializer(lambda value: float(f"{value:.4g}"), float)]  # measured: four digits suffice
Utc = Annotated[
    AwareDatetime,  # a time without a zone would be read in the reader's zone
    AfterValidator(_in_utc),
    PlainSerializer(lambda at: at.isoformat(timespec="milliseconds").replace("+00:00", "Z"), str),
]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")


class Line(Frozen):
    """A message: one line of JSON. `KIND` names it in errors, if not the class."""

    KIND: ClassVar[str] = ""
    v: int = Field(default=MAJOR, description="major version of the format; another one is refused")

    def to_line(self) -> bytes:
        """Keys in the order of the class, `v` last."""
        body = self.model_dump_json(exclude_none=True, exclude={"v"}, by_alias=True)
        return f'{body[:-1]}{"," if len(body) > 2 else ""}"v":{self.v}}}'.encode()

    @classmethod
    def from_line(cls, line: bytes, *, max_bytes: int = LINE_MAX_BYTES) -> Self:
        """Parse a message of at most `max_bytes`. Raises BadInput with the field."""
        kind = cls.KIND or cls.__name__.lower()
        if len(line) > max_bytes:
            raise BadInput(f"a {kind} of {len(line)} bytes is over the limit of {max_bytes}")
        try:
            message = cls.model_validate_json(line)
        except ValidationError as refused:
            _check_major(kind, line)
            raise BadInput(f"not a {kind}: {first_error(refused)}") from None
        _check_major(kind, line, message.v)
        return message


class _Versioned(BaseModel):
    v: int = MAJOR


def _check_major(kind: str, line: bytes, major: int | None = None) -> None:
    if major is None:
        try:
            major = _Versioned.model_validate_json(line).v
        except ValidationError:
            return
    if major != MAJOR:
        raise BadInput(f"a {kind} of format {major} cannot be read here: this EdgeFerry knows format {MAJOR}")


def first_error(refused: ValidationError) -> str:
    """The first error as `field: message`, short enough for one line."""
    problem = refused.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}"[:300] if where else problem["msg"][:300]
