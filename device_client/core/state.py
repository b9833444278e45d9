"""What a device remembers of one model, and what it only knows while it runs.

`Device` is saved before any effect is performed and survives a power cut; `Moment` is forgotten with the process, and
`Started` builds it anew. Nothing here decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Self

from pydantic import Field

from device_client.core.conditions.readings import Readings
from device_client.core.download.chunk_scheduler import Download
from device_client.core.download.throughput import Throughput
from protocol.messages.base import Frozen
from protocol.messages.device import Evidence
from protocol.messages.manifest import Encoding, Manifest, Variant
from protocol.messages.plan import Plan


class Phase(StrEnum):
    """Where a device stands with one release. The values are the `state` of the status topic."""

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
    Phase.IDLE: "nothing is asked of this device, or it has not heard a plan yet",
    Phase.ASSIGNED: "the plan names another version than the one that runs; the sensors are read",
    Phase.DEFERRED: "a condition, the strategy, a hold, the device's slot of a spread, a full disk or a trial that"
    " could not be held says not now; `reason` and `next_check` tell",
    Phase.FETCHING: "golden set, then model: missing chunks in a window, each checked by its hash; files that are there"
    " are read again",
    Phase.STALLED: "the broker lacks chunks after eight rounds without one; tried again after a quarter of an hour, and"
    " at each reconnect",
    Phase.PROVING: "a child process with limits opens the file and reproduces the golden outputs",
    Phase.REJECTED: "refused, with evidence; not tried again unless the plan raises its attempt",
    Phase.SHADOWING: "candidate and live model get the same live inputs",
    Phase.PROBATION: "the candidate answers; the previous version shadows it",
    Phase.COMMITTED: "adopted; the version before stays on the disk",
    Phase.ROLLED_BACK: "it disappointed on probation, and the version before answers again",
}
"""What is going on there, for docs/STATES.md."""
RESTING: Final = frozenset({Phase.IDLE, Phase.COMMITTED, Phase.REJECTED, Phase.ROLLED_BACK})
WAITING: Final = frozenset({Phase.ASSIGNED, Phase.DEFERRED, Phase.STALLED})
ON_TRIAL: Final = frozenset({Phase.PROVING, Phase.SHADOWING, Phase.PROBATION})
REFUSALS_KEPT: Final = 32
FINDINGS_KEPT: Final = 32


class Installed(Frozen):
    """A version that is on the disk, in one variant, with all that is needed to open it again without a broker."""

    manifest: Manifest
    variant: Variant
    choice: str = ""  # why this variant; empty where there was nothing to choose
    latency_ms: float | None = None  # the median of its proof on this device; None when it had none

    @property
    def version(self) -> str:
        """The version of the manifest."""
        return self.manifest.version

    def why(self) -> str:
        """The choice, as the end of a reason."""
        return f"; {self.choice}" if self.choice else ""


class Target(Frozen):
    """What the device is on its way to. `recalled`: it ran here, committed, before; its file may still be there."""

    manifest: Manifest
    variant: Variant
    encoding: Encoding
    golden_encoding: Encoding
    attempt: int
    plan_sequence: int
    choice: str
    recalled: bool = False
    restarts: int = 0

    @property
    def version(self) -> str:
        """The version of the manifest."""
        return self.manifest.version

    def said_choice(self) -> str:
        """Why this variant; empty where there was nothing to choose."""
        return self.choice if len(self.manifest.variants) > 1 else ""


class Refusal(Frozen):
    """A version that disappointed here; not tried again unless the plan raises its attempt."""

    version: str
    attempt: int
    reason: str


class Finding(Frozen):
    """What speaks, on this very device, against one variant of a version; other variants may still be taken.

    `latency_ms`: the median that its proof measured here, where that was the trouble; None where it failed its trial.
    """

    version: str
    variant: str
    attempt: int
    reason: str
    latency_ms: float | None = None


class Device(Frozen):
    """The remembered state of one model on one device.

    `refit`: why another variant of the live version is wanted; empty when none is. While that one is on probation the
    variant it replaced is `previous`, and the version before stands `behind`. `refits`: how many have begun since the
    version came.
    """

    phase: Phase = Phase.IDLE
    reason: str = "no plan has been seen yet"
    live: Installed | None = None
    previous: Installed | None = None
    target: Target | None = None
    plan: Plan | None = None
    manifests: dict[str, Manifest] = Field(default_factory=dict)
    behind: Installed | None = None
    refusals: tuple[Refusal, ...] = ()
    findings: tuple[Finding, ...] = ()
    refit: str = ""
    refits: int = 0
    committed: tuple[str, ...] = ()
    evidence: Evidence = Evidence()

    def becomes(self, **changes: Any) -> Self:
        """The same device with some fields changed."""
        return self.model_copy(update=changes)

    def refused(self, version: str, attempt: int) -> Refusal | None:
        """The refusal of this version that still stands, if there is one."""
        return next((r for r in self.refusals if r.version == version and r.attempt >= attempt), None)

    def refuses(self, version: str, attempt: int, reason: str) -> tuple[Refusal, ...]:
        """The refusals with one more; the oldest is forgotten when there are too many."""
        others = tuple(refusal for refusal in self.refusals if refusal.version != version)
        return (*others, Refusal(version=version, attempt=attempt, reason=reason[:300]))[-REFUSALS_KEPT:]

    def found(self, version: str, attempt: int) -> tuple[Finding, ...]:
        """What speaks against variants of this version; a newer attempt is a new try for them too."""
        return tuple(each for each in self.findings if each.version == version and each.attempt >= attempt)

    def finds(self, finding: Finding) -> tuple[Finding, ...]:
        """The findings with one more; the oldest is forgotten when there are too many."""
        of = (finding.version, finding.variant)
        others = tuple(each for each in self.findings if (each.version, each.variant) != of)
        return (*others, finding)[-FINDINGS_KEPT:]

    def has_file(self, sha256: str) -> bool:
        """Whether the file is one that is kept: of what is installed."""
        return any(installed.variant.sha256 == sha256 for installed in self.installed())

    def installed(self) -> tuple[Installed, ...]:
        """Live, previous and what is behind it, those that there are."""
        return tuple(installed for installed in (self.live, self.previous, self.behind) if installed is not None)

    def files(self) -> tuple[str, ...]:
        """Which files are needed: of what is installed, and of a target; sorted."""
        files = {installed.variant.sha256 for installed in self.installed()}
        if self.target is not None:
            files |= {self.target.variant.sha256, self.target.manifest.golden.sha256}
        return tuple(sorted(files))


@dataclass(frozen=True, slots=True)
class Moment:
    """What is known only while the process runs. Times are seconds of the clock that `step` is given."""

    link_up: bool = False
    link_trouble: str = ""  # why it is down; empty while it is up, or before the first try
    readings: Readings = field(default_factory=Readings)
    readings_at_s: float | None = None
    assigned_at_s: float = 0.0
    checked_at_s: float | None = None
    allowed_since_s: float | None = None
    crossed: frozenset[str] = frozenset()  # conditions whose limit was crossed at the last look: hysteresis
    interval_s: float | None = None  # between two looks, where the strategy varies it
    pace: Throughput = field(default_factory=Throughput)
    assigned: tuple[str, int] | None = None  # version and attempt
    phase_since_s: float = 0.0
    next_check_s: float | None = None
    download: Download | None = None
    tally_at_s: float = 0.0
    refit_look_s: float = 0.0  # when to see whether another variant of the live version would do better
    refit_seen: str = ""  # the variant that the last look preferred to the live one
    notice: str = ""  # why the last bundle was refused; empty once one was trusted
    lost: str = ""  # which model could not be opened any more; empty once the device serves anew


@dataclass(frozen=True, slots=True)
class State:
    """All that `step` works on."""

    device: Device = field(default_factory=Device)
    moment: Moment = field(default_factory=Moment)

    def with_device(self, **changes: Any) -> State:
        """The same state with some of what is remembered changed."""
        return State(self.device.becomes(**changes), self.moment)

    def with_moment(self, **changes: Any) -> State:
        """The same state with some of what is only known now changed."""
        return State(self.device, replace(self.moment, **changes))

    def enters(self, phase: Phase, reason: str, now_s: float, **device_changes: Any) -> State:
        """The state in another phase: the reason is told, the phase's clock starts, old timers are gone."""
        device = self.device.becomes(phase=phase, reason=reason, **device_changes)
        return State(device, replace(self.moment, phase_since_s=now_s, tally_at_s=now_s, next_check_s=None))
