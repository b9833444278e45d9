"""The live model, as the engine swaps it and as applications call it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from numpy.typing import NDArray

from device_client.core.conditions.model_quality import Quality
from device_client.core.state import Installed
from device_client.core.trial.tally import Tally
from device_client.feedback.window import FeedbackWindow
from protocol.messages.contract import Contract
from protocol.messages.manifest import InputStatistics
from protocol.messages.preprocessing import NewerPreprocessing, Preprocessing


@dataclass(frozen=True, slots=True)
class Delegate:
    """A library that computes on other hardware; `options` are the library's own."""

    library: str
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Swapped:
    """A version that now serves; the device's state at that moment, and the reason."""

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
    statistics: InputStatistics | None = None  # of the training set, for input drift
    preprocessing: Preprocessing | NewerPreprocessing | None = None
    files: Mapping[str, Path] = field(default_factory=dict)  # of the version, the model too; empty for a shadow

    @classmethod
    def of(cls, model: Installed, path: Path, labels: tuple[str, ...], files: Mapping[str, Path] | None = None) -> Self:
        manifest, name = model.manifest, model.variant.name
        contract, statistics, preprocessing = manifest.contract, manifest.input_statistics, manifest.preprocessing
        return cls(path, manifest.version, name, contract, labels, statistics, preprocessing, files or {})


@dataclass(frozen=True, slots=True)
class SealedInput:
    """An input and its answer, kept for trials; it never leaves the device.

    `inputs`: raw, with a batch of 1. `outputs`: a row of each output. `model`: the
    version and variant that answered.
    """

    inputs: tuple[NDArray[Any], ...]
    outputs: tuple[NDArray[Any], ...]
    classes: tuple[int, ...]
    model: str


class SealedStore(Protocol):
    """Sealed inputs on the disk. Errors of the disk are the store's to bear."""

    def load(self) -> dict[str, tuple[SealedInput, int]]:
        """Each whole one by its name, and its size in bytes."""

    def keep(self, sealed: SealedInput) -> tuple[str, int] | None:
        """Its name and size in bytes; None where it cannot be kept."""

    def drop(self, name: str) -> None:
        """Delete it; nothing happens if it is gone."""


class Serving(Protocol):
    """The live model and its shadow. No prediction ever waits for these calls."""

    def swap(self, model: ModelFile) -> None:
        """Open, warm up and then serve a file. On BadModel the old one serves on."""

    def start_shadow(self, model: ModelFile, share: float) -> None:
        """Run it too on a share (0-1] of inputs; reset the tally. Raises BadModel."""

    def stop_shadow(self) -> None:
        """Close the shadow."""

    def tally(self) -> Tally:
        """The counts since the shadow started, or since the swap without a shadow."""

    def take_window(self, *, at_least: int) -> FeedbackWindow | None:
        """Close and return the feedback window; None with fewer inferences."""

    def drift_states(self) -> bytes | None:
        """The drift detectors' state, to be saved; None before the first model."""

    def quality(self) -> Quality | None:
        """The live model's recent quality; None before its first inference."""
