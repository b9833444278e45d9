"""What can happen to a device, in the past tense. No methods, no decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from device_client.core.conditions.readings import Readings
from device_client.core.trial.tally import Tally
from protocol.messages.manifest import Manifest
from protocol.messages.plan import Plan


@dataclass(frozen=True, slots=True)
class Started:
    """The process is up and the remembered state is loaded."""


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The broker has accepted us."""


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The broker is gone."""

    reason: str


@dataclass(frozen=True, slots=True)
class PlanTrusted:
    """A bundle was verified: this is the desired state, with the manifests of all versions that it names."""

    plan: Plan
    manifests: Mapping[str, Manifest]


@dataclass(frozen=True, slots=True)
class PlanRefused:
    """A bundle was not believed; nothing changes, and the reason is told."""

    reason: str


@dataclass(frozen=True, slots=True)
class ReadingsTaken:
    """The sensors were read."""

    readings: Readings


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The time that was asked for has come, or any other moment: asking early does no harm."""


@dataclass(frozen=True, slots=True)
class BlobOpened:
    """The partial file of a tree was rehashed, or looked at again: this is missing now (lists before leaves)."""

    sha256: str
    missing: tuple[str, ...]
    kept_chunks: int
    total_chunks: int


@dataclass(frozen=True, slots=True)
class BlobReady:
    """The whole file is on the disk and its bytes are right."""

    sha256: str


@dataclass(frozen=True, slots=True)
class BlobBroken:
    """The partial file was complete and still not the file that was signed; it is gone."""

    sha256: str
    reason: str


@dataclass(frozen=True, slots=True)
class DiskFailed:
    """The disk has no room for it, or cannot be written."""

    reason: str


@dataclass(frozen=True, slots=True)
class ChunkKept:
    """A chunk was checked and written."""

    sha256: str


@dataclass(frozen=True, slots=True)
class ChunkLied:
    """The broker gave other bytes than the chunk's name says."""

    sha256: str


@dataclass(frozen=True, slots=True)
class ChunksSwept:
    """The broker has sent all that it keeps of these."""

    sha256s: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How the child process went that tried a candidate: its time, its end, and the most memory that it took."""

    wall_s: float
    ended: str
    memory_peak_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ProofEnded:
    """The child process that tried the candidate has ended."""

    sha256: str
    passed: bool
    reason: str
    samples: int = 0
    max_error: float | None = None
    latency_ms_p50: float | None = None
    child: ChildEnd | None = None


@dataclass(frozen=True, slots=True)
class ProofNotTried:
    """The device could not try the candidate: no descriptor, no process, no memory of its own was left for it."""

    sha256: str
    reason: str


@dataclass(frozen=True, slots=True)
class TallyTaken:
    """The counts of live model and shadow so far.

    `held`: why the application holds updates by now; empty when it does not.
    """

    tally: Tally
    held: str = ""


@dataclass(frozen=True, slots=True)
class ModelFailed:
    """A model could not be opened for serving: the live one at start, or the candidate or the new one at a swap.

    `damaged`: its file is not the one that was signed any more, which speaks against the disk and not the model.
    """

    sha256: str
    reason: str
    damaged: bool = False


Event = (
    Started
    | LinkUp
    | LinkDown
    | PlanTrusted
    | PlanRefused
    | ReadingsTaken
    | TimePassed
    | BlobOpened
    | BlobReady
    | BlobBroken
    | DiskFailed
    | ChunkKept
    | ChunkLied
    | ChunksSwept
    | ProofEnded
    | ProofNotTried
    | TallyTaken
    | ModelFailed
)
