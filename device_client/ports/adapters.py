"""The ports between the runner and its adapters, in the runner's words. What is slow answers later, through `done`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from device_client.core.conditions.model_quality import Quality
from device_client.core.conditions.readings import Readings
from device_client.core.events import ChildEnd
from device_client.core.trial.tally import Tally
from device_client.feedback.window import FeedbackWindow
from protocol.messages.manifest import Contract, Encoding, InputStatistics, Tree


@dataclass(frozen=True, slots=True)
class Held:
    """How much of a tree is on the disk, checked by hash: what is missing next (a list chunk before its leaves)."""

    missing: tuple[str, ...]
    kept_chunks: int
    total_chunks: int


class Store(Protocol):
    """The files of one model on one device: partial downloads, whole files by hash, and which one is current."""

    def open_partial(self, tree: Tree, *, decoded_bytes: int = 0) -> Held:
        """Rehash what is there of a tree and say what is missing. Reserves the room first. Raises NoRoom, BlobDamaged.

        `decoded_bytes`: room that `finish` will need beside the partial; 0 when the encoding is raw.
        """

    def keep(self, sha256: str, payload: bytes) -> bool:
        """Check a chunk and write it to the open partial; False when it was there or is not part of it.

        Raises ChunkDamaged when it lies, NoRoom when the disk is full, BlobDamaged when the signed tree is no tree.
        """

    def held(self) -> Held:
        """What the open partial is still missing, without reading it again."""

    def finish(self, encoding: Encoding, sha256: str, size_bytes: int) -> None:
        """Decode the complete partial to a whole file: write, fsync, verify, rename, fsync the folder.

        Raises BlobDamaged (the partial is then gone), NoRoom.
        """

    def has(self, sha256: str) -> bool:
        """Whether the whole file is there and its bytes are right (read again, not believed)."""

    def path(self, sha256: str) -> Path:
        """Where the whole file is or would be."""

    def make_current(self, sha256: str) -> None:
        """Point the `current.tflite` symlink at a whole file, atomically."""

    def keep_only(self, sha256s: Collection[str]) -> None:
        """Remove every whole file but these, and every partial that is not open."""

    def close_partial(self) -> None:
        """Let go of the open partial; its bytes stay for another try."""


@dataclass(frozen=True, slots=True)
class ProofOrder:
    """What to prove: a candidate against the golden outputs of its variant, within limits."""

    model: Path
    golden: Path
    variant: str
    tolerance: float
    contract: Contract
    memory_max_bytes: int
    wall_max_s: float
    memory_by: str = ""  # what drew the limit, for a refusal that it caused
    wall_by: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of it. `reason` is plain English, for success too."""

    passed: bool
    reason: str
    samples: int = 0
    max_error: float | None = None
    latency_ms_p50: float | None = None
    out_of_memory: bool = False
    child: ChildEnd | None = field(default=None, compare=False)  # never twice the same


@dataclass(frozen=True, slots=True)
class NotTried:
    """The device could not try it, for a reason of its own that speaks neither for nor against the candidate."""

    reason: str


class Prover(Protocol):
    """Runs a candidate in a limited child process; a hostile file kills the child, not the device."""

    def start(self, order: ProofOrder, done: Callable[[Proof | NotTried], None]) -> None:
        """Begin; `done` is called once, from any thread. A second start drops the first: its `done` is not called."""

    def stop(self) -> None:
        """End the child, if one runs; its `done` is not called."""


@dataclass(frozen=True, slots=True)
class Delegate:
    """A library that computes a model, or parts of it, on other hardware; its options as it documents them."""

    library: str
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Swapped:
    """A version that has begun to answer, where the device then stood, and why."""

    version: str
    variant: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A whole, verified file and what an application needs to know of it."""

    path: Path
    version: str
    variant: str
    contract: Contract
    labels: tuple[str, ...] = ()
    statistics: InputStatistics | None = None  # of the training set, to tell when inputs look otherwise


class Serving(Protocol):
    """The live model and its shadow, in the application's process. No prediction ever waits for these calls."""

    def swap(self, model: ModelFile) -> None:
        """Open and warm up a file beside the live one, then replace one reference. On BadModel the old one stays."""

    def start_shadow(self, model: ModelFile, share: float) -> None:
        """Give this share of live inputs (over 0 to 1) to this file too and count; a fresh tally. Raises BadModel."""

    def stop_shadow(self) -> None:
        """Close the shadow."""

    def tally(self) -> Tally:
        """The counts since the shadow was started, or since the swap when there is none."""

    def take_window(self, *, at_least: int) -> FeedbackWindow | None:
        """Close the feedback window and return it, or None when it has fewer inferences than that."""

    def standings(self) -> bytes | None:
        """Where the drift detectors stand, to be remembered over a restart; None before the first model."""

    def quality(self) -> Quality | None:
        """How well the live model did over its latest windows; None before its first inference."""


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A report on its way. An `event` stays until the broker has it; `feedback` may be merged with its like."""

    event_id: str
    topic: str
    payload: bytes
    at_s: float  # seconds since 1970, by this device's clock
    kind: Literal["event", "feedback"]


class Journal(Protocol):
    """What must not be forgotten at a power cut. Every method that writes has reached the disk when it returns."""

    def load(self, model: str) -> bytes | None:
        """What `save` was last given for the model; None when there is nothing."""

    def trusted(self, model: str) -> dict[str, bytes]:
        """The metadata that was last accepted, by name."""

    def save(
        self,
        model: str,
        state_json: bytes,
        outbox: Sequence[OutboxEntry] = (),
        trusted: Mapping[str, bytes] | None = None,
    ) -> None:
        """Remember all of this or, if the power goes, none of it. Raises NoRoom or another FerryError."""

    def note(self, model: str, entry: bytes) -> None:
        """Keep this entry of the model's logbook instead of the one before. Raises NoRoom or another FerryError."""

    def noted(self, model: str) -> bytes | None:
        """What `note` was last given for the model."""

    def enqueue(self, entries: Sequence[OutboxEntry], standings: Mapping[str, bytes] | None = None) -> None:
        """Put reports in the outbox without a new state; one that is there already, by `event_id`, not twice.

        `standings`: by model, where its drift detectors stood by then.
        """

    def waiting(self) -> list[OutboxEntry]:
        """The reports that no broker has acknowledged, oldest first."""

    def sending(self, event_ids: Collection[str]) -> frozenset[str]:
        """Which of these reports are still waiting. From now on somebody may have seen them: they are never merged."""

    def delivered(self, event_id: str) -> None:
        """The broker has it."""


class Sensors(Protocol):
    """One look at the device."""

    def read(self) -> Readings:
        """Take every reading; never raises, never blocks for more than a moment."""

    def held(self) -> str:
        """Why the application holds updates; empty when it does not. Costs next to nothing; never raises."""
