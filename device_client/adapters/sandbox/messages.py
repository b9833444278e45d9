"""Messages between the prover and its child process: a job as an argument, then lines of JSON on stdout.

Each line is a TrialActivity, the last one a TrialReport.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from device_client.ports.serving import Delegate
from protocol.messages.base import Frozen
from protocol.messages.manifest import Contract


class TrialJob(Frozen):
    """What to try, and with which limits. `parent`: the process that the child must not outlive."""

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
    """What the child does from now on, so that a crash has a place; its memory peak up to now."""

    doing: str = Field(max_length=100)
    memory_peak_bytes: int | None = Field(default=None, ge=0)


class TrialReport(Frozen):
    """The result of the trial."""

    passed: bool
    reason: str = Field(min_length=1, max_length=500)
    samples: int = Field(default=0, ge=0)
    max_error: float | None = None
    latency_ms_p50: float | None = Field(default=None, ge=0)
    out_of_memory: bool = False
    memory_peak_bytes: int | None = Field(default=None, ge=0)
    said: Literal["report"] = "report"


def used_more(memory_max_bytes: int, by: str, doing: str = "") -> str:
    """The reason for a candidate that reached its memory limit. `by`: what set the limit."""
    return f"used more than {memory_max_bytes / 1e6:.0f} MB{f' while {doing}' if doing else ''}{because(by)}"


def because(by: str) -> str:
    """What set a limit, to be appended to a reason."""
    return f": {by}" if by else ""
