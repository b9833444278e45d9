"""The sections of `device.toml` that are not the core's own classes: models, strategy, feedback, TLS.

Each checks itself, and says what it means in the core's terms. Reads no file; that is `device_client.settings.loader`'.
"""

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
from device_client.ports.adapters import Delegate
from protocol.feedback.truncation import WINDOW_MAX_BYTES
from protocol.messages.base import Name
from protocol.topics import LINE_MAX_BYTES

OF_KIND: Final[dict[str, tuple[str, ...]]] = {
    "periodic": ("every_s", "windows"),
    "conditional": ("hold_s", "recheck_s"),
    "smart": ("interval_min_s", "interval_max_s", "quality_good", "quality_bad", "comfort_score", "inferences_min"),
}
"""The settings that only one kind of strategy knows."""


class Section(BaseModel):
    """A section of the file; a key that it does not know is a typo."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DelegateSection(Section):
    """One of `delegates`: a library by its path, or by a name that the system finds."""

    library: Annotated[str, Field(min_length=1)]
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)

    def delegate(self) -> Delegate:
        """As the runtime takes it: every option is a text."""
        return Delegate(self.library, tuple((key, _as_option(value)) for key, value in self.options.items()))


class ModelSection(Section):
    """`[[models]]`: one model that this device runs."""

    name: Name
    variant: Name | None = None
    prefer: Literal["accuracy", "size"] = "accuracy"
    memory_budget_mb: float | None = Field(default=None, gt=0)
    latency_budget_ms: float | None = Field(default=None, gt=0)
    cpu_budget_percent: float | None = Field(default=None, gt=0)
    inferences_per_s: float | None = Field(default=None, gt=0)
    variant_recheck_s: Annotated[float, Field(ge=1, le=YEAR_S)] = 3_600.0
    threads: int = Field(default=1, ge=1, le=64)
    delegates: tuple[DelegateSection, ...] = Field(default=(), max_length=8)
    mqtt_inference: bool = False
    on_swap: tuple[str, ...] = ()
    on_swap_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 60.0

    def opened_on(self) -> tuple[Delegate, ...]:
        """The hardware that it is to run on, in the runtime's terms; none is the processor."""
        return tuple(section.delegate() for section in self.delegates)

    def beside(self, folder: Path) -> Self:
        """The same with every path made absolute: they are told relative to the settings file."""
        delegates = tuple(
            section.model_copy(update={"library": _beside(folder, section.library)}) for section in self.delegates
        )
        on_swap = (_beside(folder, self.on_swap[0]), *self.on_swap[1:]) if self.on_swap else ()
        return self.model_copy(update={"delegates": delegates, "on_swap": on_swap})

    @model_validator(mode="after")
    def _cpu_budget_has_a_rate(self) -> Self:
        if (self.cpu_budget_percent is None) != (self.inferences_per_s is None):
            raise ValueError(
                "cpu_budget_percent and inferences_per_s go together: so much of a core, at so many a second"
            )
        return self

    def latency_max_ms(self) -> float | None:
        """What an inference may take: by its own budget, and by the share of a core that all of them may take."""
        budgets_ms = [] if self.latency_budget_ms is None else [self.latency_budget_ms]
        if self.cpu_budget_percent is not None and self.inferences_per_s is not None:
            budgets_ms.append(1_000 * self.cpu_budget_percent / 100 / self.inferences_per_s)
        return min(budgets_ms, default=None)


class StrategySection(Section):
    """`[strategy]`: when to begin."""

    kind: Literal["periodic", "conditional", "smart"] = "conditional"
    every_s: Seconds = 6 * 3600.0
    windows: Hours = ()
    zone: str | None = None
    hold_s: Seconds = 0.0
    recheck_s: Pause = 30.0
    interval_min_s: Pause = 900.0
    interval_max_s: Pause = 86_400.0
    quality_good: Share = 0.95
    quality_bad: Share = 0.75
    comfort_score: Share = 0.2
    inferences_min: Positive = 30

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

    def foreign(self) -> tuple[str, str] | None:
        """A key that was given although it belongs to another kind, and to which."""
        others = ((key, kind) for kind, keys in OF_KIND.items() if kind != self.kind for key in keys)
        return next(((key, kind) for key, kind in others if key in self.model_fields_set), None)

    def local_zone(self) -> tzinfo:
        """Where the windows' clock hangs."""
        return zone_of(self.zone) if self.zone else system_zone()

    def strategy(self) -> Strategy:
        """The strategy in the core's terms."""
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
    """`[feedback]`: how often a window is closed and reported, and what it may take of time and disk."""

    every_s: Pause = 60.0
    look_every: Annotated[int, Field(ge=1)] = 8
    window_max_bytes: Annotated[int, Field(ge=768, le=LINE_MAX_BYTES)] = WINDOW_MAX_BYTES
    budget_bytes: Annotated[int, Field(ge=32_768)] = 262_144


class TlsSection(Section):
    """`[tls]`: files for mqtts; relative to the folder of the settings file."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


def _as_option(value: bool | float | str) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _beside(folder: Path, program: str) -> str:
    """A path; what has no slash is looked for by the system, as a shell does."""
    return str(folder / program) if "/" in program else program
