"""A trial's argument, TrialJob; on stdout: lines of TrialActivity, one TrialReport."""

from __future__ import annotations

from pydantic import Field

from device_client.ports.serving import Delegate
from protocol.messages.base import Frozen
from protocol.messages.contract import Contract
from protocol.messages.manifest import GoldenBound
from protocol.messages.preprocessing import DeclaredPreprocessing


class TrialJob(Frozen):
    """What to try, within which limits. `parent`: the process not to outlive."""

    model: str
    golden: str
    variant: str
    tolerance: float
    bounds: tuple[GoldenBound, ...] = ()
    contract: Contract
    memory_max_bytes: int
    memory_by: str = ""
    delegates: tuple[Delegate, ...] = ()
    preprocessing: DeclaredPreprocessing | None = None
    parent: int


class TrialActivity(Frozen):
    """What the child begins, so that a crash has a place; its memory peak so far."""

    doing: str = Field(max_length=100)
    memory_peak_bytes: int | None = Field(default=None, ge=0)


class TrialReport(Frozen):
    """`lacking`: the device has not what the candidate needs: no fault of it."""

    passed: bool
    reason: str = Field(min_length=1, max_length=500)
    samples: int = Field(default=0, ge=0)
    max_error: float | None = None
    latency_ms_p50: float | None = Field(default=None, ge=0)
    out_of_memory: bool = False
    lacking: bool = False
    memory_peak_bytes: int | None = Field(default=None, ge=0)


def used_more(memory_max_bytes: int, by: str, doing: str = "") -> str:
    """The reason at the memory limit. `by`: what set the limit."""
    return f"used more than {memory_max_bytes / 1e6:.0f} MB{f' while {doing}' if doing else ''}{because(by)}"


def because(by: str) -> str:
    """What set a limit, to be appended to a reason."""
    return f": {by}" if by else ""
