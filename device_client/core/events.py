"""What can happen to a device, in the past tense."""

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
    """The broker has accepted the connection."""


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The connection to the broker is lost."""

    reason: str


@dataclass(frozen=True, slots=True)
class PlanTrusted:
    """A bundle was verified: the plan, and the manifests of all versions it names."""

    plan: Plan
    manifests: Mapping[str, Manifest]


@dataclass(frozen=True, slots=True)
class PlanRefused:
    """A bundle failed verification; the status says why."""

    reason: str


@dataclass(frozen=True, slots=True)
class ReadingsTaken:
    """The sensors were read."""

    readings: Readings


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The time that `wake_s` returned has come, or any other: early is harmless."""


@dataclass(frozen=True, slots=True)
class BlobOpened:
    """The partial file was checked: `missing` chunks, lists before leaves."""

    sha256: str
    missing: tuple[str, ...]
    kept_chunks: int
    total_chunks: int


@dataclass(frozen=True, slots=True)
class BlobReady:
    """The whole file is on the disk and verified."""

    sha256: str


@dataclass(frozen=True, slots=True)
class BlobBroken:
    """The file was complete, but not the one that was signed; it was removed."""

    sha256: str
    reason: str


@dataclass(frozen=True, slots=True)
class DiskFailed:
    """The disk is full or cannot be written."""

    reason: str


@dataclass(frozen=True, slots=True)
class ChunkKept:
    """A chunk was checked and written."""

    sha256: str


@dataclass(frozen=True, slots=True)
class ChunkCorrupt:
    """The broker sent a chunk whose bytes do not match its name."""

    sha256: str


@dataclass(frozen=True, slots=True)
class ChunksSwept:
    """The broker has sent all of these chunks that it has."""

    sha256s: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How the child process of a proof ended, after which time and peak memory."""

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
    """The device could not run the proof, e.g. without a free descriptor or memory."""

    sha256: str
    reason: str


@dataclass(frozen=True, slots=True)
class TallyTaken:
    """The counts of live model and shadow so far."""

    tally: Tally
    held: str = ""  # why the application holds updates; empty where it does not


@dataclass(frozen=True, slots=True)
class ModelFailed:
    """A model could not be opened: the live one, a new one at its swap or a shadow."""

    sha256: str
    reason: str
    damaged: bool = False  # the file is no longer the one that was signed: the disk is to blame


DownloadEvent = BlobOpened | BlobReady | BlobBroken | DiskFailed | ChunkKept | ChunkCorrupt | ChunksSwept
TrialEvent = ProofEnded | ProofNotTried | TallyTaken | ModelFailed
Event = (
    Started | LinkUp | LinkDown | PlanTrusted | PlanRefused | ReadingsTaken | TimePassed | DownloadEvent | TrialEvent
)
