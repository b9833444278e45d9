"""What a device asks for, in the imperative. Every effect is safe to repeat: power may go between saving and doing."""

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
    """Look at the counts of live model and shadow; `TallyTaken` answers."""


@dataclass(frozen=True, slots=True)
class OpenBlob:
    """See how much of a file is there; `BlobReady`, `BlobOpened`, `BlobBroken` or `DiskFailed` answers."""

    sha256: str
    size_bytes: int
    encoding: Encoding


@dataclass(frozen=True, slots=True)
class LookAgain:
    """All that was missing has come: see whether lists among it name more; `BlobOpened` or `DiskFailed` answers."""

    sha256: str


@dataclass(frozen=True, slots=True)
class FinishBlob:
    """Decode the complete partial file; `BlobReady`, `BlobBroken` or `DiskFailed` answers."""

    sha256: str
    size_bytes: int
    encoding: Encoding


@dataclass(frozen=True, slots=True)
class SweepChunks:
    """Ask the broker for chunks; `ChunkKept` or `ChunkLied` for each that it has, `ChunksSwept` behind them."""

    sha256s: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SendWants:
    """Tell whoever serves that the broker does not have these."""

    sha256s: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prove:
    """Try the candidate in a limited child process; `ProofEnded` or `ProofNotTried` answers."""

    target: Target
    limits: ProofLimits


@dataclass(frozen=True, slots=True)
class StartShadow:
    """Give a sample of live inputs to this model too; `ModelFailed` answers when it cannot be opened.

    `share`: of the live inputs, over 0 to 1.
    """

    model: Installed
    share: float


@dataclass(frozen=True, slots=True)
class StopTrial:
    """End the child process and the shadow, and let go of the partial file, whichever of them there are."""


@dataclass(frozen=True, slots=True)
class Swap:
    """Serve this model from now on; `ModelFailed` answers when it cannot be opened, and the old one still serves."""

    model: Installed


@dataclass(frozen=True, slots=True)
class KeepOnly:
    """Remove all files but these."""

    sha256s: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell a final outcome. It is put in the outbox in the very transaction that saves the state."""

    outcome: OutcomeKind
    version: str
    variant: str
    from_version: str | None
    reason: str
    plan_sequence: int
    attempt: int
    evidence: Evidence
    refit: int = 0  # which change of variant under one plan it is about; 0 is the version itself


Effect = (
    TakeReadings
    | TakeTally
    | OpenBlob
    | LookAgain
    | FinishBlob
    | SweepChunks
    | SendWants
    | Prove
    | StartShadow
    | StopTrial
    | Swap
    | KeepOnly
    | Announce
)
Effects = tuple[Effect, ...]
Step = tuple[State, Effects]  # what the device becomes, and what it asks for
