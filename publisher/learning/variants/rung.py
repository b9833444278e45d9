"""A rung of the ladder: a measured file, or why it is impossible. Pure."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from protocol.messages.manifest import Measured, Requirements
from publisher.core.release.gates import Figures

Z_95: Final = 1.959963984540054  # standard deviations either side of 95 % of a normal distribution


@dataclass(frozen=True, slots=True)
class Rung:
    """A file and its figures. Shares are 0 to 1.

    `accuracy` is the task's measure; `accuracy_low` and `_high` are its 95 % Wilson
    interval; `accuracy_change` and `agreement` compare with the float32 parent;
    `sparsity` is the share of zeros.
    `took_s` excludes the parent's training, and includes shared networks.
    """

    name: str
    technique: str
    precision: str
    tflite: bytes = field(repr=False)
    wire_bytes: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    accuracy_samples: int
    accuracy_change: float
    agreement: float
    latency_ms_p50: float  # of one sample on one thread of this machine, with the device's runtime
    latency_ms_p95: float
    memory_bytes: int
    memory_peak_bytes: int
    sparsity: float
    took_s: float

    @property
    def file_bytes(self) -> int:
        return len(self.tflite)

    def measured(self) -> Measured:
        return Measured(
            accuracy=self.accuracy,
            accuracy_samples=self.accuracy_samples,
            agreement=self.agreement,
            latency_ms_p50=self.latency_ms_p50,
            latency_ms_p95=self.latency_ms_p95,
        )

    def figures(self, measure: str) -> Figures:
        return Figures(self.accuracy, self.wire_bytes, self.latency_ms_p50, self.latency_ms_p95, measure)

    def requires(self) -> Requirements:
        return Requirements(memory_bytes=self.memory_bytes)

    def facts(self) -> dict[str, Any]:
        """Plain JSON, with the file's hash and size in its place."""
        fields = asdict(self)
        content = fields.pop("tflite")
        return {**fields, "file_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@dataclass(frozen=True, slots=True)
class ImpossibleRung:
    name: str
    technique: str
    reason: str

    def facts(self) -> dict[str, Any]:
        return asdict(self)


def rung_of_facts(facts: Mapping[str, Any], tflite: bytes) -> Rung | None:
    """The rung that gave these facts; None if `tflite` is not its file."""
    fields = {key: value for key, value in facts.items() if key not in ("file_bytes", "sha256")}
    return Rung(tflite=tflite, **fields) if hashlib.sha256(tflite).hexdigest() == facts["sha256"] else None


def wilson(right: float, samples: int) -> tuple[float, float]:
    """The 95 % interval (low, high) of the share `right` / `samples` (Wilson 1927).

    `right` may be a sum of graded scores: of all scores from 0 to 1 with one mean,
    zeros and ones spread most, so that the interval is not too narrow.
    """
    if samples == 0:
        return 0.0, 1.0
    share, z2_n = right / samples, Z_95**2 / samples
    middle = (share + z2_n / 2) / (1 + z2_n)
    half = Z_95 * math.sqrt(share * (1 - share) / samples + z2_n / (4 * samples)) / (1 + z2_n)
    low = 0.0 if right <= 0 else max(0.0, middle - half)
    return low, 1.0 if right >= samples else min(1.0, middle + half)
