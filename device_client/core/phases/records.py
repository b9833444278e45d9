"""What is set in which phase: one record per phase that has something of its own.

Its `of` returns None where the state is not in the phase, or lacks what it needs, as
one just loaded may.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from device_client.core.download.chunk_scheduler import Download
from device_client.core.state import Comparing, Installed, Phase, State, Target


@dataclass(frozen=True, slots=True)
class Fetching:
    """A blob of the target is on its way."""

    target: Target
    download: Download

    @classmethod
    def of(cls, state: State) -> Self | None:
        target, download = state.device.target, state.moment.download
        return None if target is None or download is None else cls(target, download)


@dataclass(frozen=True, slots=True)
class Proving:
    """The target is tried in a child process."""

    target: Target

    @classmethod
    def of(cls, state: State) -> Self | None:
        target, phase = state.device.target, state.device.phase
        return None if target is None or phase is not Phase.PROVING else cls(target)


@dataclass(frozen=True, slots=True)
class Shadowing:
    """The target gets the inputs of the live model."""

    target: Target
    live: Installed
    times: Comparing

    @classmethod
    def of(cls, state: State) -> Self | None:
        target, live, times = state.device.target, state.device.live, state.moment.activity
        return cls(target, live, times) if target and live and isinstance(times, Comparing) else None


@dataclass(frozen=True, slots=True)
class Probation:
    """The new model is live. `target`: what it was before the swap."""

    live: Installed
    target: Target | None
    times: Comparing

    @classmethod
    def of(cls, state: State) -> Self | None:
        live, times = state.device.live, state.moment.activity
        return cls(live, state.device.target, times) if live and isinstance(times, Comparing) else None
