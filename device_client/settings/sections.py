"""The sections of `device.toml` for models, strategy, feedback and TLS."""

from __future__ import annotations

from datetime import tzinfo
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from device_client.adapters.sensors.probes.clock import system_zone, zone_of
from device_client.core.policy import (
    YEAR_S,
    Conditional,
    Hours,
    Pause,
    Periodic,
    Positive,
    Seconds,
    Share,
    Smart,
    Strategy,
)
from device_client.ports.serving import Delegate
from protocol.feedback.truncation import WINDOW_MAX_BYTES
from protocol.messages.base import Name
from protocol.topics import LINE_MAX_BYTES

OF_KIND: Final[dict[str, tuple[str, ...]]] = {
    "periodic": ("every_s", "windows"),
    "conditional": ("hold_s", "recheck_s"),
    "smart": ("interval_min_s", "interval_max_s", "quality_good", "quality_bad", "comfort_score", "inferences_min"),
}
"""The settings that only one kind of strategy has."""


class Section(BaseModel):
    """A section of the file; an unknown key is rejected as a typo."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DelegateSection(Section):
    library: Annotated[str, Field(min_length=1)]
    """Path of the library, or a name that the system's loader finds."""
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Options of the library; it gets them as texts."""

    def delegate(self) -> Delegate:
        """As the runtime takes it, every option as a text."""
        options = self.options.items()
        texts = ((key, str(value).lower() if isinstance(value, bool) else str(value)) for key, value in options)
        return Delegate(self.library, tuple(texts))


class ModelSection(Section):
    name: Name
    """Name of the model."""
    variant: Name | None = None
    """Take only this variant."""
    prefer: Literal["accuracy", "size"] = "accuracy"
    """Which of the variants that fit is taken."""
    memory_budget_mb: float | None = Field(default=None, gt=0)
    """Memory that the model may use; not set: half of what is free."""
    latency_budget_ms: float | None = Field(default=None, gt=0)
    """Time of a prediction: the publisher's p95, then the proof's median."""
    cpu_budget_percent: float | None = Field(default=None, gt=0)
    """Share of one core for all inferences together."""
    inferences_per_s: float | None = Field(default=None, gt=0)
    """Rate of inferences at which `cpu_budget_percent` must suffice."""
    variant_recheck_s: Annotated[float, Field(ge=1, le=YEAR_S)] = 3_600.0
    """Interval of checks whether another variant would fit better."""
    threads: int = Field(default=1, ge=1, le=64)
    """Threads of the runtime within one prediction."""
    delegates: tuple[DelegateSection, ...] = Field(default=(), max_length=8)
    """Libraries that run the model on other hardware."""
    mqtt_inference: bool = False
    """Answer inference requests on the topic `input`."""
    on_swap: tuple[str, ...] = ()
    """Program and arguments, run when another version answers."""
    on_swap_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    """Time after which that program is ended."""

    def runtime_delegates(self) -> tuple[Delegate, ...]:
        """The delegates as the runtime takes them; none: it runs on the CPU."""
        return tuple(section.delegate() for section in self.delegates)

    def with_absolute_paths(self, folder: Path) -> Self:
        """A copy with absolute paths, of those relative to the settings file."""
        delegates = tuple(
            section.model_copy(update={"library": _absolute(folder, section.library)}) for section in self.delegates
        )
        on_swap = (_absolute(folder, self.on_swap[0]), *self.on_swap[1:]) if self.on_swap else ()
        return self.model_copy(update={"delegates": delegates, "on_swap": on_swap})

    @model_validator(mode="after")
    def _cpu_budget_has_a_rate(self) -> Self:
        if (self.cpu_budget_percent is None) != (self.inferences_per_s is None):
            raise ValueError(
                "cpu_budget_percent and inferences_per_s go together: so much of a core, at so many a second"
            )
        return self

    def latency_max_ms(self) -> float | None:
        """Of one inference: its own budget, or its part of the CPU budget if less."""
        budgets_ms = [] if self.latency_budget_ms is None else [self.latency_budget_ms]
        if self.cpu_budget_percent is not None and self.inferences_per_s is not None:
            budgets_ms.append(1_000 * self.cpu_budget_percent / 100 / self.inferences_per_s)
        return min(budgets_ms, default=None)


class StrategySection(Section):
    kind: Literal["periodic", "conditional", "smart"] = "conditional"
    """Begin once conditions hold, at intervals, or by the model's quality."""
    every_s: Seconds = 6 * 3600.0
    """Periodic: interval of checks."""
    windows: Hours = ()
    """Periodic: local times of checks, such as `"01:00-05:30"`; none: always."""
    zone: str | None = None
    """IANA zone of `windows` and `conditions.hours`; not set: the system's."""
    hold_s: Seconds = 0.0
    """Conditional: time that conditions must have held."""
    recheck_s: Pause = 30.0
    """Conditional: interval of checks."""
    interval_min_s: Pause = 900.0
    """Smart: interval of checks while the live model does badly."""
    interval_max_s: Pause = 86_400.0
    """Smart: interval of checks while it does well."""
    quality_good: Share = 0.95
    """Smart: quality from which on the interval is the longest."""
    quality_bad: Share = 0.75
    """Smart: quality from which down the interval is the shortest."""
    comfort_score: Share = 0.2
    """Smart: score under which comfort conditions are waived."""
    inferences_min: Positive = 30
    """Smart: with fewer inferences the score is 0.5."""

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, name: str | None) -> str | None:
        if name is not None:
            zone_of(name)
        return name

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.interval_min_s > self.interval_max_s:
            raise ValueError("interval_min_s is over interval_max_s")
        if self.quality_bad >= self.quality_good:
            raise ValueError("quality_bad must be under quality_good")
        return self

    def key_of_other_kind(self) -> tuple[str, str] | None:
        """A given key that belongs to another kind of strategy, and that kind."""
        others = ((key, kind) for kind, keys in OF_KIND.items() if kind != self.kind for key in keys)
        return next(((key, kind) for key, kind in others if key in self.model_fields_set), None)

    def local_zone(self) -> tzinfo:
        return zone_of(self.zone) if self.zone else system_zone()

    def strategy(self) -> Strategy:
        if self.kind == "periodic":
            return Periodic(self.every_s, self.windows)
        if self.kind == "smart":
            return Smart(
                self.interval_min_s,
                self.interval_max_s,
                self.quality_good,
                self.quality_bad,
                self.comfort_score,
                self.inferences_min,
            )
        return Conditional(self.hold_s, self.recheck_s)


class FeedbackSection(Section):
    every_s: Pause = 60.0
    """Length of a window."""
    look_every: Annotated[int, Field(ge=1)] = 8
    """One of so many inputs is compared with the training set."""
    window_max_bytes: Annotated[int, Field(ge=768, le=LINE_MAX_BYTES)] = WINDOW_MAX_BYTES
    """Size of one message; larger windows are reported in less detail."""
    budget_bytes: Annotated[int, Field(ge=32_768)] = 262_144
    """Windows kept while offline; beyond, the oldest are merged."""


class TlsSection(Section):
    """`[tls]`: files for mqtts; relative to the folder of the settings file."""

    ca: Path | None = None
    """PEM file: authority of the broker's certificate; not set: the system's."""
    cert: Path | None = None
    """PEM file: certificate of this device."""
    key: Path | None = None
    """PEM file: its private key."""


def _absolute(folder: Path, program: str) -> str:
    """A path; a name without a slash is left to the system's search, as in a shell."""
    return str(folder / program) if "/" in program else program
