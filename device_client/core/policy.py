"""The owner's choices for one model on one device: the sections of `device.toml`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field

_NO_STRANGERS: Final = ConfigDict(extra="forbid")  # a typo in a settings file is refused, not ignored

Percent = Annotated[float, Field(ge=0, le=100)]
Share = Annotated[float, Field(ge=0, le=1)]
YEAR_S: Final = 366 * 86_400.0  # more is a slip, and at some point no date any more
Seconds = Annotated[float, Field(ge=0, le=YEAR_S)]
Pause = Annotated[float, Field(ge=0.1, le=YEAR_S)]  # seconds between two checks: none may spin
Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Bytes = Annotated[int, Field(ge=0, le=2**53)]
ShareSampled = Annotated[float, Field(gt=0, le=1)]
ErrorRate = Annotated[float, Field(ge=0.0001, le=0.5)]
CpuPercent = Annotated[float, Field(ge=0.1, le=100)]  # of one core
Answer = Literal["allow", "defer"]
MINUTES_A_DAY: Final = 1_440
_WINDOW: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]|24(?=:00)):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Local time in minutes since midnight; may wrap; equal ends are the whole day."""

    start_minute: int
    end_minute: int

    def holds(self, minute: int) -> bool:
        if self.start_minute < self.end_minute:
            return self.start_minute <= minute < self.end_minute
        return minute >= self.start_minute or minute < self.end_minute


def window_of(text: object) -> TimeWindow:
    """The window that "22:00-06:00" means. Raises ValueError."""
    if isinstance(text, TimeWindow):
        return text
    found = _WINDOW.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("a stretch of local time is wanted, such as 22:00-06:00")
    start_h, start_m, end_h, end_m = (int(figures) for figures in found.groups())
    return TimeWindow(start_h * 60 + start_m, (end_h * 60 + end_m) % MINUTES_A_DAY)


Hours = tuple[Annotated[TimeWindow, BeforeValidator(window_of)], ...]


@dataclass(frozen=True, slots=True)
class UnknownOf:
    """What an unknown reading means to one condition; None: as `Thresholds.unknown`."""

    __pydantic_config__ = _NO_STRANGERS

    throttling: Answer | None = None
    voltage: Answer | None = None
    battery: Answer | None = None
    memory: Answer | None = None
    disk: Answer | None = None
    cpu: Answer | None = None
    temperature: Answer | None = None
    metering: Answer | None = None
    signal: Answer | None = None
    network: Answer | None = None
    hours: Answer | None = None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When the device is fit for an update. Urgency may waive comfort, never safety."""

    __pydantic_config__ = _NO_STRANGERS

    cpu_max_percent: Percent = 80.0
    """Load of all processors, at most."""
    cpu_hysteresis_percent: Percent = 5.0
    """Hysteresis of `cpu_max_percent`."""
    temperature_max_c: Annotated[float, Field(ge=-50, le=1_000)] = 75.0
    """Temperature of the processor, at most."""
    temperature_hysteresis_c: Annotated[float, Field(ge=0)] = 5.0
    """Hysteresis of `temperature_max_c`."""
    round_trip_max_ms: Seconds = 2_000.0
    """Time until the broker acknowledges a message, at most."""
    round_trip_hysteresis_ms: Seconds = 500.0
    """Hysteresis of `round_trip_max_ms`."""
    throughput_min_bytes_s: Bytes = 0
    """Rate of a download in the last 15 minutes; 0: no condition."""
    wifi_signal_min_dbm: Annotated[float, Field(ge=-120, le=0)] = -85.0
    """Signal where the link is Wi-Fi, at least."""
    wifi_signal_hysteresis_dbm: Annotated[float, Field(ge=0)] = 3.0
    """Hysteresis of `wifi_signal_min_dbm`."""
    metered_allowed: bool = False
    """Allow metered and cellular links."""
    battery_min_percent: Percent = 30.0
    """Charge where there is no mains power, at least."""
    battery_hysteresis_percent: Percent = 5.0
    """Hysteresis of `battery_min_percent`."""
    memory_min_bytes: Bytes = 64 * 1024 * 1024
    """Free memory, at least; more where the variant needs more."""
    memory_hysteresis_bytes: Bytes = 8 * 1024 * 1024
    """Hysteresis of `memory_min_bytes`."""
    disk_min_bytes: Bytes = 64 * 1024 * 1024
    """Disk space that stays free besides the update."""
    disk_hysteresis_bytes: Bytes = 8 * 1024 * 1024
    """Hysteresis of `disk_min_bytes`."""
    hours: Hours = ()
    """Local times of updates, such as `"22:00-06:00"`; none: always."""
    unknown: Answer = "allow"
    """What a reading that cannot be taken means."""
    unknown_of: UnknownOf = UnknownOf()
    """The same for one condition, as in `unknown_of.battery`."""


@dataclass(frozen=True, slots=True)
class Periodic:
    """Check at an interval, or only in windows of local time."""

    every_s: float = 6 * 3600.0
    windows: tuple[TimeWindow, ...] = ()


@dataclass(frozen=True, slots=True)
class Conditional:
    """Begin as soon as the conditions have held for so long."""

    hold_s: float = 0.0
    recheck_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Smart:
    """Check more often the worse the live model does; if it is bad, waive comfort."""

    interval_min_s: float = 900.0
    interval_max_s: float = 86_400.0
    quality_good: float = 0.95  # from here up the interval is the longest
    quality_bad: float = 0.75  # from here down it is the shortest
    comfort_score: float = 0.2  # under this score comfort is waived
    inferences_min: int = 30  # fewer are no evidence


Strategy = Periodic | Conditional | Smart


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """How a device takes chunks. The window bounds the memory on both sides."""

    __pydantic_config__ = _NO_STRANGERS

    window: Annotated[int, Field(ge=1, le=32)] = 8
    """Chunks requested at a time."""
    rate_max_bytes_s: Bytes = 0
    """Rate of downloads, at most; 0: unlimited."""
    chunk_timeout_s: Seconds = 60.0
    """Time in which a requested chunk must arrive."""
    absent_grace_s: Seconds = 1.0  # after the UNSUBACK: aedes does not order it behind messages
    """Time after the UNSUBACK until a missing chunk counts as absent."""
    retry_min_s: Seconds = 10.0
    """First pause between rounds."""
    retry_max_s: Seconds = 300.0
    """Longest pause between rounds."""
    barren_rounds_max: Positive = 8
    """Rounds without a chunk until the download is `stalled`."""
    stalled_retry_s: Seconds = 900.0
    """Pause until a stalled download is retried."""

    def __post_init__(self) -> None:
        if self.retry_min_s > self.retry_max_s:
            raise ValueError(f"retry_min_s ({self.retry_min_s:g}) is over retry_max_s ({self.retry_max_s:g})")


@dataclass(frozen=True, slots=True)
class TrialLimits:
    """What a candidate must show before it may answer, and after: docs/TRIAL.md."""

    __pydantic_config__ = _NO_STRANGERS

    proof_wall_max_s: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    """Time of the proof's child process, at most."""
    proof_memory_max_bytes: Bytes = 512 * 1024 * 1024
    """Memory that a candidate adds to that process, at most."""
    shadow_deadline_s: Seconds = 1_800.0
    """Time of shadowing, at most: then there is not enough evidence."""
    shadow_share: ShareSampled = 1.0
    """Share of live inputs that a candidate is given."""
    shadow_cpu_percent: CpuPercent = 25.0
    """Share of one core for shadows; fewer inputs are sampled instead."""
    sealed_inputs: bool = True
    """Keep a few inputs of each class in the state folder, to try candidates on."""
    labels_wait_s: Seconds = 30.0
    """Time without a label after which agreement decides."""
    equal_refused_max: ErrorRate = 0.05
    """Error rate: an equally good model is rejected or rolled back."""
    worse_adopted_max: ErrorRate = 0.05
    """Error rate: a worse model is adopted or committed."""
    accuracy_drop_max: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    """Worse, with labels: so many fewer right answers, as a share."""
    agreement_good: Share = 0.95
    """As good, without labels: this share of equal answers or more."""
    agreement_min: Share = 0.80
    """Worse, without labels: this share of equal answers or fewer."""
    confidence_drop_max: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Worse, without labels: so much less confidence on average."""
    errors_max: Count = 3
    """Failed inputs that are tolerated."""
    latency_ratio_max: Annotated[float, Field(ge=1)] = 4.0
    """Slow: over so many times the other model's processor time."""
    latency_floor_ms: Annotated[float, Field(ge=0)] = 20.0
    """Time under which no input is slow."""
    without_evidence: Literal["adopt", "reject"] = "adopt"
    """What to do when shadowing had not enough evidence."""
    probation_share: ShareSampled = 0.25
    """Share of live inputs that the previous model is given on probation."""
    probation_inferences: Positive = 100
    """Inferences on probation where no other model can be compared."""
    probation_min_s: Seconds = 60.0
    """Time on probation, at least."""
    probation_deadline_s: Seconds = 3_600.0
    """Time on probation, at most: then there is not enough evidence."""
    probation_without_evidence: Literal["commit", "roll_back"] = "commit"
    """What to do when probation had not enough evidence."""
    hang_s: Annotated[float, Field(ge=1, le=86_400)] = 30.0
    """Time of one live input; beyond, the model hangs, and has failed."""
    restarts_max: Count = 10
    """Ends of the process during a trial that are tolerated."""
    poll_s: Pause = 1.0
    """Interval of checks of the counts."""

    def __post_init__(self) -> None:
        if self.agreement_good <= self.agreement_min:
            raise ValueError("agreement_good must be over agreement_min")
        if self.probation_deadline_s < self.probation_min_s:
            raise ValueError("probation_deadline_s is under probation_min_s")


@dataclass(frozen=True, slots=True)
class Policy:
    """All choices that `step` needs."""

    device: str
    model: str
    groups: tuple[str, ...] = ()
    variant: str | None = None  # take only this one
    prefer: Literal["accuracy", "size"] = "accuracy"
    memory_budget_bytes: int | None = None
    latency_budget_ms: float | None = None  # against what the publisher measured, then against the proof's own figure
    variant_recheck_s: float = 3_600.0  # how often a committed version's variants are compared
    delegated: bool = False  # runs on delegates, which the publisher did not measure
    known_encodings: frozenset[str] = frozenset({"raw"})
    strategy: Strategy = field(default_factory=Conditional)
    thresholds: Thresholds = field(default_factory=Thresholds)
    download: DownloadLimits = field(default_factory=DownloadLimits)
    trial: TrialLimits = field(default_factory=TrialLimits)
    readings_fresh_s: float = 30.0
