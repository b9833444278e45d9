"""The state of one model on one device: `Device` is saved, `Moment` is not.

`Device` is saved before any effect is performed and survives a power cut. `Moment` is
lost with the process; the event `Started` builds a new one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Self

from pydantic import Field, TypeAdapter

from device_client.core.conditions.readings import Readings
from device_client.core.download.chunk_scheduler import Download
from device_client.core.download.throughput import Throughput
from protocol.messages.base import Frozen, Text
from protocol.messages.device import Evidence
from protocol.messages.manifest import Encoding, Manifest, Variant
from protocol.messages.plan import Plan


class Phase(StrEnum):
    """Where a device stands with one release: the `state` of the status topic."""

    IDLE = "idle"
    ASSIGNED = "assigned"
    DEFERRED = "deferred"
    FETCHING = "fetching"
    STALLED = "stalled"
    PROVING = "proving"
    REJECTED = "rejected"
    SHADOWING = "shadowing"
    PROBATION = "probation"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"


MEANING: Final[dict[Phase, str]] = {
    Phase.IDLE: "the plan names no version for this device, or no plan has arrived yet",
    Phase.ASSIGNED: "the plan names another version than the one that runs; the sensors are read",
    Phase.DEFERRED: "the update may not begin now: a condition, the strategy, a hold, the device's slot of a spread, a"
    " full disk or a trial that could not run; `reason` and `next_check` say why and until when",
    Phase.FETCHING: "golden set, files, then model: missing chunks in a window, each checked by its hash; those that"
    " are already on the disk are verified again",
    Phase.STALLED: "the broker lacks chunks after eight rounds without one; retried after a quarter of an hour, and"
    " at each reconnect",
    Phase.PROVING: "a child process with limits opens the file and reproduces the golden outputs",
    Phase.REJECTED: "refused, with evidence; not tried again unless the plan raises its attempt",
    Phase.SHADOWING: "candidate and live model get the same live inputs",
    Phase.PROBATION: "the candidate serves; the previous version shadows it",
    Phase.COMMITTED: "adopted; the previous version stays on the disk",
    Phase.ROLLED_BACK: "it failed on probation, and the previous version serves again",
}
"""What a device does in each phase, for docs/STATES.md."""
RESTING: Final = frozenset({Phase.IDLE, Phase.COMMITTED, Phase.REJECTED, Phase.ROLLED_BACK})
WAITING: Final = frozenset({Phase.ASSIGNED, Phase.DEFERRED, Phase.STALLED})
ON_TRIAL: Final = frozenset({Phase.PROVING, Phase.SHADOWING, Phase.PROBATION})
COMPARING: Final = frozenset({Phase.SHADOWING, Phase.PROBATION})
REFUSALS_KEPT: Final = 32
FINDINGS_KEPT: Final = 32
_TEXT: Final = TypeAdapter(Text)


class Installed(Frozen):
    """A version on the disk, in one variant, with all that opening it takes."""

    manifest: Manifest
    variant: Variant
    choice: Text = ""  # why this variant; empty where there was nothing to choose
    latency_ms: float | None = None  # median of its proof here; None without a proof

    @property
    def version(self) -> str:
        return self.manifest.version

    def files(self) -> frozenset[str]:
        """SHA-256 of all its files on the disk."""
        return frozenset({self.variant.sha256, *(file.sha256 for file in self.manifest.files)})

    def takes_more_memory_than(self, variant: Variant) -> bool:
        return self.variant.requires.memory_bytes > variant.requires.memory_bytes

    def because(self) -> str:
        """The choice, as the end of a reason."""
        return f"; {self.choice}" if self.choice else ""


class Target(Frozen):
    """The variant of a version that the device is about to fetch or is trying."""

    manifest: Manifest
    variant: Variant
    encoding: Encoding
    golden_encoding: Encoding
    attempt: int
    plan_sequence: int
    choice: Text
    file_encodings: tuple[Encoding, ...] = ()  # of the manifest's files, in their order
    recalled: bool = False  # committed on this device before; its file may still be here
    restarts: int = 0

    @property
    def version(self) -> str:
        return self.manifest.version

    def installed(self, latency_ms: float | None = None) -> Installed:
        choice = self.choice if len(self.manifest.variants) > 1 else ""
        return Installed(manifest=self.manifest, variant=self.variant, choice=choice, latency_ms=latency_ms)


class Refusal(Frozen):
    """A version that failed here; barred until the plan raises its attempt."""

    version: str
    attempt: int
    reason: Text


class Finding(Frozen):
    """What this device found against one variant of a version."""

    version: str
    variant: str
    attempt: int
    reason: Text
    latency_ms: float | None = None  # median of its proof if it was too slow; None if it failed its trial


class Device(Frozen):
    """The remembered state of one model on one device; field names are those saved."""

    phase: Phase = Phase.IDLE
    reason: Text = "no plan has been seen yet"
    live: Installed | None = None
    previous: Installed | None = None
    target: Target | None = None
    plan: Plan | None = None
    manifests: dict[str, Manifest] = Field(default_factory=dict)
    behind: Installed | None = None  # the version before, while `previous` is a variant of the live one
    refusals: tuple[Refusal, ...] = ()
    findings: tuple[Finding, ...] = ()
    refit: str = ""  # why another variant of the live version is wanted; empty when none is
    refits: int = 0  # changes of variant begun since the version came
    committed: tuple[str, ...] = ()
    evidence: Evidence = Evidence()

    def becomes(self, **changes: Any) -> Self:
        """The device with some fields changed; a long reason is truncated."""
        if "reason" in changes:
            changes["reason"] = _TEXT.validate_python(changes["reason"])
        return self.model_copy(update=changes)

    def refused(self, version: str, attempt: int) -> Refusal | None:
        """The refusal of this version that still stands, if there is one."""
        return next((r for r in self.refusals if r.version == version and r.attempt >= attempt), None)

    def refuses(self, version: str, attempt: int, reason: str) -> tuple[Refusal, ...]:
        """The refusals with one more; the oldest is dropped when there are too many."""
        others = tuple(refusal for refusal in self.refusals if refusal.version != version)
        return (*others, Refusal(version=version, attempt=attempt, reason=reason))[-REFUSALS_KEPT:]

    def found(self, version: str, attempt: int) -> tuple[Finding, ...]:
        """The findings about this version; a newer attempt starts without any."""
        return tuple(each for each in self.findings if each.version == version and each.attempt >= attempt)

    def finds(self, target: Target, reason: str, latency_ms: float | None) -> tuple[Finding, ...]:
        """The findings with one more; the oldest is dropped when there are too many."""
        version, variant = target.version, target.variant.name
        others = tuple(each for each in self.findings if (each.version, each.variant) != (version, variant))
        found = Finding(version=version, variant=variant, attempt=target.attempt, reason=reason, latency_ms=latency_ms)
        return (*others, found)[-FINDINGS_KEPT:]

    def has_file(self, sha256: str) -> bool:
        return any(installed.variant.sha256 == sha256 for installed in self.installed())

    def relieved_by(self, variant: Variant) -> bool:
        """Whether changing to this variant of the live version frees memory."""
        return bool(self.refit) and self.live is not None and self.live.takes_more_memory_than(variant)

    def installed(self) -> tuple[Installed, ...]:
        return tuple(installed for installed in (self.live, self.previous, self.behind) if installed is not None)

    def files(self) -> tuple[str, ...]:
        """SHA-256 of the files that installed versions and the target need, sorted."""
        files: set[str] = set().union(*(installed.files() for installed in self.installed()))
        if self.target is not None:
            files |= self.target.installed().files() | {self.target.manifest.golden.sha256}
        return tuple(sorted(files))


@dataclass(frozen=True, slots=True)
class Connection:
    """The link to the broker. `trouble`: why it is down; empty before the first try."""

    up: bool = False
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """The latest readings, when they were taken, and the throughput measured so far."""

    readings: Readings = field(default_factory=Readings)
    at_s: float | None = None
    throughput: Throughput = field(default_factory=Throughput)


@dataclass(frozen=True, slots=True)
class Assigned:
    """The version and attempt that the device was last assigned, and when."""

    version: str
    attempt: int
    at_s: float


@dataclass(frozen=True, slots=True)
class CheckHistory:
    """What one check of conditions and strategy hands to the next."""

    crossed: frozenset[str] = frozenset()  # conditions whose limit was crossed, for hysteresis
    checked_at_s: float | None = None
    allowed_since_s: float | None = None
    interval_s: float | None = None  # between two checks, where the strategy varies it


@dataclass(frozen=True, slots=True)
class VariantRecheck:
    """When to compare the variants next, and the one that the last check preferred."""

    at_s: float = 0.0
    preferred: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """ASSIGNED, DEFERRED, STALLED. `next_check_s`: None where only a new plan helps."""

    next_check_s: float | None = None


@dataclass(frozen=True, slots=True)
class Comparing:
    """SHADOWING, PROBATION: since when, and when the counts were last read."""

    since_s: float
    tally_at_s: float


Activity = Waiting | Download | Comparing | None
"""What belongs to the phase alone and ends with it; None in the other phases."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What is known while the process runs. Times are those of `step`'s clock."""

    activity: Activity = None
    link: Connection = Connection()
    seen: Observation = field(default_factory=Observation)
    assigned: Assigned | None = None
    history: CheckHistory = CheckHistory()
    recheck: VariantRecheck = VariantRecheck()
    notice: str = ""  # why the last bundle was refused; empty once one was trusted
    lost: str = ""  # which model could not be opened; empty once the device serves again

    @property
    def download(self) -> Download | None:
        return self.activity if isinstance(self.activity, Download) else None

    @property
    def next_check_s(self) -> float | None:
        return self.activity.next_check_s if isinstance(self.activity, Waiting) else None


@dataclass(frozen=True, slots=True)
class State:
    """All that `step` works on."""

    device: Device = field(default_factory=Device)
    moment: Moment = field(default_factory=Moment)

    def with_device(self, **changes: Any) -> State:
        return State(self.device.becomes(**changes), self.moment)

    def with_moment(self, **changes: Any) -> State:
        return State(self.device, replace(self.moment, **changes))

    def waits_until(self, next_check_s: float | None) -> State:
        return self.with_moment(activity=Waiting(next_check_s))

    def enters(self, phase: Phase, reason: str, now_s: float, **device_changes: Any) -> State:
        """The state in another phase, with a new activity."""
        device = self.device.becomes(phase=phase, reason=reason, **device_changes)
        activity = Waiting() if phase in WAITING else Comparing(now_s, now_s) if phase in COMPARING else None
        return State(device, replace(self.moment, activity=activity))
