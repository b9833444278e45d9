"""The flags of `release` for a model that was trained elsewhere: which go together, and what makes a version of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protocol.errors import BadInput

if TYPE_CHECKING:  # these import numpy
    from publisher.learning.artifacts.build import Choose
    from publisher.learning.data.calibration import KeptCalibration
    from publisher.operations.release.release import Make


@dataclass(frozen=True, slots=True)
class ModelFileOptions:
    """What the flags say; one of `tflite` and `keras` is given where there is a model file at all."""

    tflite: Path | None
    keras: Path | None
    data: Path | None
    labels: str | None
    trust_code: bool

    @property
    def flag(self) -> str | None:
        """Which flag gives the file; None where a recipe is released."""
        if self.tflite is not None:
            return "--tflite"
        return None if self.keras is None else "--keras"

    def check(self, trained: Mapping[str, Any], variants: str | None) -> None:
        """Refuse flags that do not go together; `trained` are those that want a recipe. Raises BadInput."""
        if self.flag is None:
            for name, value in (("--data", self.data), ("--labels", self.labels)):
                if value is not None:
                    raise BadInput(f"{name} goes with --tflite or --keras", hint=f"a recipe has its own {name[2:]}")
        if self.tflite is not None and self.keras is not None:
            raise BadInput("--tflite does not go with --keras", hint="leave one of them out")
        if self.trust_code and self.keras is None:
            raise BadInput("--trust-code goes with --keras", hint="leave it out")
        if self.keras is not None and variants is not None and self.data is None:
            raise BadInput(
                "--variants of a Keras file needs --data",
                hint="an .npz of samples x and their classes y, to train on and to measure",
            )
        if self.flag is not None:
            _check_untrained({**trained, "--variants": variants if self.tflite else None}, self.flag)
        self._names()

    def make(self, variants: tuple[str, ...], choose: Choose | None, kept: KeptCalibration | None) -> Make | None:
        """What makes a version of the file; of these `variants`, if any, of a Keras file. None where a recipe does.

        `kept` is the calibration set of an earlier version.
        """
        labels = self._names()
        if self.tflite is not None:
            return _from_tflite(self.tflite, self.data, labels)
        if self.keras is None:
            return None
        if self.data is not None and variants:
            return self._from_network(self.keras, self.data, labels, variants, choose, kept)
        return self._from_keras(self.keras, labels, kept)

    def _names(self) -> tuple[str, ...]:
        from publisher.learning.data.labels import read_labels

        return () if self.labels is None else read_labels(self.labels)

    def _from_keras(self, path: Path, labels: tuple[str, ...], kept: KeptCalibration | None) -> Make:
        def make(on_progress: Any) -> Any:
            from publisher.learning.artifacts.imported_model import build_from_keras

            return build_from_keras(
                path, data=self.data, labels=labels, trust_code=self.trust_code, kept=kept, on_progress=on_progress
            )

        return make

    def _from_network(
        self,
        path: Path,
        data: Path,
        labels: tuple[str, ...],
        variants: tuple[str, ...],
        choose: Choose | None,
        kept: KeptCalibration | None,
    ) -> Make:
        def make(on_progress: Any) -> Any:
            from publisher.learning.artifacts.build import build_from_trained
            from publisher.learning.artifacts.imported_model import trained_from_keras

            network = trained_from_keras(path, data, labels=labels, trust_code=self.trust_code, kept=kept)
            return build_from_trained(network, variants, choose=choose, on_progress=on_progress)

        return make


def _from_tflite(path: Path, data: Path | None, labels: tuple[str, ...]) -> Make:
    def make(on_progress: Any) -> Any:
        from publisher.learning.artifacts.build import build_from_tflite

        return build_from_tflite(path, data=data, labels=labels, on_progress=on_progress)

    return make


def _check_untrained(trained: Mapping[str, Any], flag: str) -> None:
    for name, value in trained.items():
        if value is not None:
            raise BadInput(f"{name} does not go with {flag}, which trains nothing", hint="leave one of them out")
