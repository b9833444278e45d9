"""The variants worth shipping: the Pareto front in accuracy, wire bytes and latency."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from publisher.core.release.gates import MAIN_VARIANT, Baseline, Figures, Gates, failures

LATENCY_STEP: Final = 1.2  # one step to the next; smaller differences are noise of the machine that measures
LATENCY_NOISE_MS: Final = 0.05  # by which two medians of equal files differ on a busy machine
UNKNOWN: Final = -math.inf  # an unknown figure beats nothing


@dataclass(frozen=True, slots=True)
class Selection:
    """The names to ship, and why each other variant is left out."""

    shipped: tuple[str, ...]
    left_out: Mapping[str, str]


def without_worse(candidates: Mapping[str, Figures], parent: Figures) -> Selection:
    """All but those that are larger and slower than `parent`, and no more accurate."""
    reasons = {name: _why_worse(name, figures, parent) for name, figures in candidates.items()}
    return Selection(
        tuple(name for name, reason in reasons.items() if not reason),
        {name: reason for name, reason in reasons.items() if reason},
    )


def _why_worse(name: str, figures: Figures, parent: Figures) -> str:
    ours, theirs = figures.latency_ms_p50, parent.latency_ms_p50
    if ours is None or theirs is None or figures.accuracy is None or parent.accuracy is None:
        return ""
    slower = ours > theirs * LATENCY_STEP and ours > theirs + LATENCY_NOISE_MS
    if not slower or figures.wire_bytes <= parent.wire_bytes or figures.accuracy > parent.accuracy:
        return ""
    return (
        f"{name} is worse than {MAIN_VARIANT} in everything: {figures.wire_bytes:,} bytes on the wire for"
        f" {parent.wire_bytes:,}, {ours:.3g} ms for {theirs:.3g}, {figures.measure} {figures.accuracy:.3f} for"
        f" {parent.accuracy:.3f}"
    )


def front(candidates: Mapping[str, Figures]) -> tuple[str, ...]:
    """The names of the variants that no other dominates, in the order given."""
    return tuple(name for name in candidates if dominator(name, candidates) is None)


def select(candidates: Mapping[str, Figures], baseline: Baseline | None, gates: Gates) -> Selection:
    """The front of those that pass the gates."""
    missed = {name: "; ".join(failures({name: figures}, baseline, gates)) for name, figures in candidates.items()}
    passing = {name: figures for name, figures in candidates.items() if not missed[name]}
    shipped = front(passing)
    beaten = {
        name: f"{name} is not better than {dominator(name, passing)} in anything"
        for name in passing
        if name not in shipped
    }
    return Selection(shipped, {name: reason for name, reason in (missed | beaten).items() if reason})


def dominator(name: str, candidates: Mapping[str, Figures]) -> str | None:
    """A variant of the front that dominates it; None for one of the front."""
    beaten_by = [other for other, figures in candidates.items() if dominates(figures, candidates[name])]
    return max(beaten_by, key=lambda other: _score(candidates[other]), default=None)


def dominates(one: Figures, other: Figures) -> bool:
    """Whether `one` is nowhere worse than `other`, and somewhere better."""
    ours, theirs = _score(one), _score(other)
    return ours != theirs and all(our >= their for our, their in zip(ours, theirs, strict=True))


def _score(figures: Figures) -> tuple[float, float, float]:
    """More is better."""
    return (
        UNKNOWN if figures.accuracy is None else figures.accuracy,
        -figures.wire_bytes,
        UNKNOWN if figures.latency_ms_p50 is None else -_step(figures.latency_ms_p50),
    )


def _step(latency_ms: float) -> int:
    return round(math.log(max(latency_ms, 1e-3) / 1e-3, LATENCY_STEP))
