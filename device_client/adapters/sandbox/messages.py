"""What the prover and its child process say to each other: an order as an argument, then lines of JSON on a pipe.

Each line says what the child is doing, the last one what came of it. Runs nothing.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from device_client.ports.serving import Delegate
from protocol.messages.base import Frozen
from protocol.messages.manifest import Contract

SAID_MAX_BYTES: Final = 16_384  # all that a child may say; ours says under 1 KB


class TrialJob(Frozen):
    """What to try. `parent`: the process that the child must not outlive."""

    model: str
    golden: str
    variant: str
    tolerance: float
    contract: Contract
    memory_max_bytes: int
    memory_by: str = ""
    delegates: tuple[Delegate, ...] = ()
    parent: int


class TrialActivity(Frozen):
    """The child has begun something; told so that a crash has a place.

    `memory_peak_bytes`: the most that the child has had in memory up to now.
    """

    doing: str = Field(max_length=100)
    memory_peak_bytes: int | None = Field(default=None, ge=0)


class TrialReport(Frozen):
    """What came of it."""

    passed: bool
    reason: str = Field(min_length=1, max_length=500)
    samples: int = Field(default=0, ge=0)
    max_error: float | None = None
    latency_ms_p50: float | None = Field(default=None, ge=0)
    out_of_memory: bool = False
    memory_peak_bytes: int | None = Field(default=None, ge=0)
    said: Literal["report"] = "report"


def used_more(memory_max_bytes: int, by: str, doing: str = "") -> str:
    """The reason of a candidate that came to the limit of its memory. `by`: what drew the limit."""
    return f"used more than {memory_max_bytes / 1e6:.0f} MB{f' while {doing}' if doing else ''}{because(by)}"


def because(by: str) -> str:
    """What drew a limit, behind the words that tell of it."""
    return f": {by}" if by else ""
