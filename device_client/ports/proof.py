"""The proof of a candidate: what to try, the runner of it, and its three results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from device_client.core.events import ChildEnd
from protocol.messages.contract import Contract
from protocol.messages.manifest import GoldenBound
from protocol.messages.preprocessing import NewerPreprocessing, Preprocessing


@dataclass(frozen=True, slots=True)
class ProofOrder:
    """A candidate to run against the golden outputs of its variant, within limits."""

    model: Path
    golden: Path
    variant: str
    tolerance: float
    contract: Contract
    memory_max_bytes: int
    wall_max_s: float
    memory_by: str = ""  # what sets the limit, for the reason of a rejection it causes
    wall_by: str = ""
    preprocessing: Preprocessing | NewerPreprocessing | None = None
    bounds: tuple[GoldenBound, ...] = ()  # of each output; none: `tolerance` for all


@dataclass(frozen=True, slots=True)
class Proof:
    """The candidate passed or failed. `reason` is plain English, for success too."""

    passed: bool
    reason: str
    samples: int = 0
    max_error: float | None = None
    latency_ms_p50: float | None = None
    out_of_memory: bool = False
    child: ChildEnd | None = field(default=None, compare=False)  # differs in every run


@dataclass(frozen=True, slots=True)
class NotTried:
    """The device could not run the proof; says nothing about the candidate."""

    reason: str


class Prover(Protocol):
    """Runs a candidate in a limited child process, which a hostile file may crash."""

    def start(self, order: ProofOrder, done: Callable[[Proof | NotTried], None]) -> None:
        """Begin. Any thread calls `done` once, unless another start cancels it."""

    def stop(self) -> None:
        """End the child, if one runs; its `done` is not called."""
