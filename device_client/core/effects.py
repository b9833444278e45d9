"""What a device is to do, in the imperative. Every effect is safe to repeat."""

from __future__ import annotations

from dataclasses import dataclass

from device_client.core.state import Installed, State, Target
from device_client.core.trial.proof_limits import ProofLimits
from protocol.messages.device import Evidence, OutcomeKind
from protocol.messages.manifest import Encoding


@dataclass(frozen=True, slots=True)
class TakeReadings:
    """Read the sensors; `ReadingsTaken` answers."""


@dataclass(frozen=True, slots=True)
class TakeTally:
    """Read the counts of live model and shadow; `TallyTaken` answers."""


@dataclass(frozen=True, slots=True)
class OpenBlob:
    """Check a file; `BlobReady`, `BlobOpened`, `BlobBroken` or `DiskFailed` answers."""

    sha256: str
    size_bytes: int
    encoding: Encoding


@dataclass(frozen=True, slots=True)
class RecheckBlob:
    """Check whether new list chunks name more; `BlobOpened` or `DiskFailed` answers."""

    sha256: str


@dataclass(frozen=True, slots=True)
class FinishBlob:
    """Decode the complete file; `BlobReady`, `BlobBroken` or `DiskFailed` answers."""

    sha256: str
    size_bytes: int
    encoding: Encoding


@dataclass(frozen=True, slots=True)
class SweepChunks:
    """Request chunks; `ChunkKept` or `ChunkCorrupt` for each, then `ChunksSwept`."""

    sha256s: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SendWants:
    """Report to the publisher chunks that the broker does not have."""

    sha256s: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prove:
    """Try the candidate in a child process; `ProofEnded` or `ProofNotTried` answers."""

    target: Target
    limits: ProofLimits


@dataclass(frozen=True, slots=True)
class StartShadow:
    """Give this model a share of the inputs; `ModelFailed` if it cannot be opened."""

    model: Installed
    share: float


@dataclass(frozen=True, slots=True)
class StopTrial:
    """End the child process and the shadow, and close the partial file."""


@dataclass(frozen=True, slots=True)
class Swap:
    """Serve this model; the old one serves on if it cannot be opened: `ModelFailed`."""

    model: Installed


@dataclass(frozen=True, slots=True)
class KeepOnly:
    """Remove all files but these."""

    sha256s: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Announce:
    """Publish a final outcome, stored in the transaction that saves the state."""

    outcome: OutcomeKind
    version: str
    variant: str
    from_version: str | None
    reason: str
    plan_sequence: int
    attempt: int
    evidence: Evidence
    refit: int = 0  # number of the change of variant; 0 for the version itself


def outcome_of(
    target: Target, kind: OutcomeKind, from_version: str | None, reason: str, evidence: Evidence, refit: int = 0
) -> Announce:
    """The outcome of a target that was not adopted."""
    version, variant, sequence = target.version, target.variant.name, target.plan_sequence
    return Announce(kind, version, variant, from_version, reason, sequence, target.attempt, evidence, refit)


FileEffect = OpenBlob | RecheckBlob | FinishBlob | KeepOnly
TrialEffect = TakeTally | Prove | StartShadow | StopTrial | Swap
Effect = TakeReadings | SweepChunks | SendWants | FileEffect | TrialEffect | Announce
Effects = tuple[Effect, ...]
Step = tuple[State, Effects]  # the next state, and what to do
