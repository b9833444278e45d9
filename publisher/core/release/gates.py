"""Gates of a release: limits for figures of its variants, with reasons for misses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

MAX_DROP: Final = 0.02  # of accuracy; about what a full-integer conversion costs
ROUNDING: Final = 1e-9  # 0.98 - 0.96 is a little more than 0.02
MAIN_VARIANT: Final = "float32"  # the others are made from it


@dataclass(frozen=True, slots=True)
class Gates:
    """None is no gate. `max_drop` (0-1) is the accuracy lost since the baseline."""

    min_accuracy: float | None = None
    max_drop: float = MAX_DROP
    max_wire_bytes: int | None = None  # what a device that has nothing must fetch
    max_latency_ms: float | None = None  # p95


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of a variant. Accuracy is 0-1; latency is on the publisher's machine.

    `measure` is what the accuracy is called in the model's task, such as mIoU.
    """

    accuracy: float | None = None
    wire_bytes: int = 0
    latency_ms_p50: float | None = None
    latency_ms_p95: float | None = None
    measure: str = "accuracy"


@dataclass(frozen=True, slots=True)
class Baseline:
    version: str  # that the fleet has now
    accuracies: Mapping[str, float | None]

    def accuracy(self, variant: str) -> float | None:
        """Of this variant, or else of the one that others were made from."""
        if variant in self.accuracies:
            return self.accuracies[variant]
        return self.accuracies.get(MAIN_VARIANT, next(iter(self.accuracies.values()), None))


def failures(candidate: Mapping[str, Figures], baseline: Baseline | None, gates: Gates) -> tuple[str, ...]:
    """Every gate that a variant of the candidate misses, with its figures."""
    return tuple(
        reason
        for variant, figures in candidate.items()
        for reason in (
            *_accuracy(variant, figures, baseline, gates),
            *_size(variant, figures.wire_bytes, gates.max_wire_bytes),
            *_latency(variant, figures.latency_ms_p95, gates.max_latency_ms),
        )
    )


def suggest_remedy(candidate: Mapping[str, Figures], baseline: Baseline | None, gates: Gates) -> str:
    ways = []
    if failures(candidate, baseline, replace(gates, max_wire_bytes=None, max_latency_ms=None)):
        unknown = any(figures.accuracy is None for figures in candidate.values())
        ways.append("give --data with classes, to know its accuracy" if unknown else "train it longer")
    if failures(candidate, None, Gates(max_wire_bytes=gates.max_wire_bytes, max_latency_ms=gates.max_latency_ms)):
        ways.append("ship other --variants: publisher compress shows what each takes, and auto picks what passes")
    return "; ".join((*ways, "or release it all the same with --force"))


def _accuracy(variant: str, figures: Figures, baseline: Baseline | None, gates: Gates) -> Iterator[str]:
    accuracy, measure = figures.accuracy, figures.measure
    if accuracy is None:
        if gates.min_accuracy is not None:
            yield f"the {measure} of {variant} is not known, and at least {gates.min_accuracy:.3f} is asked"
        return
    if gates.min_accuracy is not None and accuracy < gates.min_accuracy:
        is_, asked = _distinct(accuracy, gates.min_accuracy)
        yield f"the {measure} of {variant} is {is_}, under the {asked} asked for"
    before = baseline.accuracy(variant) if baseline else None
    if baseline and before is not None and before - accuracy > gates.max_drop + ROUNDING:
        drop, allowed = _distinct(before - accuracy, gates.max_drop)
        yield (
            f"the {measure} of {variant} is {accuracy:.3f}, {drop} under the {before:.3f} of"
            f" {baseline.version}; {allowed} is allowed"
        )


def _size(variant: str, wire_bytes: int, limit_bytes: int | None) -> Iterator[str]:
    if limit_bytes is not None and wire_bytes > limit_bytes:
        yield f"{variant} takes {wire_bytes:,} bytes on the wire, over the {limit_bytes:,} asked for"


def _latency(variant: str, latency_ms: float | None, limit_ms: float | None) -> Iterator[str]:
    if limit_ms is None:
        return
    if latency_ms is None:
        yield f"the latency of {variant} is not known, and at most {limit_ms:g} ms is asked"
    elif latency_ms > limit_ms:
        yield f"the latency of {variant} is {latency_ms:.3g} ms (p95), over the {limit_ms:g} ms asked for"


def _distinct(one: float, other: float) -> tuple[str, str]:
    """Two shares with enough digits to show that they differ."""
    digits = next((digits for digits in (3, 4, 5, 6) if f"{one:.{digits}f}" != f"{other:.{digits}f}"), 9)
    return f"{one:.{digits}f}", f"{other:.{digits}f}"
