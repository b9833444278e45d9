"""The options of `release` for a model file: their check, and how to build from it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from protocol.errors import BadInput
from protocol.messages.contract import Contract
from protocol.messages.manifest import Manifest
from protocol.messages.preprocessing import Preprocessing
from publisher.learning.artifacts.build import build_from_tflite, build_from_trained
from publisher.learning.artifacts.imported_model import build_from_keras, trained_from_keras
from publisher.learning.data.labels import read_labels
from publisher.learning.measurement.sandbox import FileRequest, FreeSize, sizes_of
from publisher.learning.preprocessing.declaration import read_preprocessing
from publisher.learning.tasks.declaration import TaskRequest, parse_roles, parse_task
from publisher.operations.release.release import Build
from publisher.operations.release.train import Training


@dataclass(frozen=True, slots=True)
class ModelFileOptions:
    """At most one of `tflite` and `keras` is given; none of them with a recipe."""

    tflite: Path | None
    keras: Path | None
    data: Path | None
    labels: str | None
    trust_code: bool
    task: str | None = None
    roles: str | None = None
    preprocessing: str | None = None
    signature: str | None = None
    free_size: tuple[str, ...] = ()
    unmeasured: bool = False

    @property
    def flag(self) -> str | None:
        if self.tflite is not None:
            return "--tflite"
        return None if self.keras is None else "--keras"

    def check(self, training_flags: Mapping[str, Any], variants: str | None) -> None:
        """Refuse options that do not go together. Raises BadInput."""
        if self.flag is None:
            given = {"--data": self.data, "--labels": self.labels, "--task": self.task, "--roles": self.roles}
            given |= {"--preprocessing": self.preprocessing, **self._tflite_flags()}
            for name, value in given.items():
                if value is not None:
                    raise BadInput(f"{name} goes with --tflite or --keras", hint=f"a recipe has its own {name[2:]}")
        if self.tflite is not None and self.keras is not None:
            raise BadInput("--tflite does not go with --keras", hint="leave one of them out")
        if self.keras is not None and self.preprocessing is not None:
            raise BadInput(
                "--preprocessing does not go with --keras", hint="convert it first, and give the file with --tflite"
            )
        if self.keras is not None:
            for name, value in self._tflite_flags().items():
                if value is not None:
                    raise BadInput(f"{name} does not go with --keras", hint="leave it out, or convert the file first")
        if self.trust_code and self.keras is None:
            raise BadInput("--trust-code goes with --keras", hint="leave it out")
        if self.keras is not None and variants is not None and self.data is None:
            raise BadInput(
                "--variants of a Keras file needs --data",
                hint="an .npz of samples x and their classes y, to train on and to measure",
            )
        if self.flag is not None:
            _check_unset({**training_flags, "--variants": variants if self.tflite else None}, self.flag)
        self._label_names()
        self._task_request(None)
        self._declared(None)
        self._file_request(None)

    def build(self, training: Training, before: Manifest | None = None) -> Build | None:
        """None with a recipe. Uses variants and kept calibration of `training`.

        `before`: the version whose task and preprocessing go on if none are given.
        """
        task, declared = self._task_request(before.contract if before else None), self._declared(before)
        request = self._file_request(before.contract if before else None)
        labels, tflite, keras, data = self._label_names(), self.tflite, self.keras, self.data
        if tflite is not None:
            return lambda report: build_from_tflite(
                tflite,
                data=data,
                labels=labels,
                task=task,
                preprocessing=declared,
                request=request,
                on_progress=report,
            )
        if keras is None:
            return None
        trust, kept = self.trust_code, training.kept
        if data is None or not training.variants:
            return lambda report: build_from_keras(
                keras, data=data, labels=labels, trust_code=trust, kept=kept, task=task, on_progress=report
            )
        return lambda report: build_from_trained(
            trained_from_keras(keras, data, labels=labels, trust_code=trust, kept=kept),
            training.variants,
            choose=training.choose,
            on_progress=report,
        )

    def _task_request(self, earlier: Contract | None) -> TaskRequest:
        roles = () if self.roles is None else parse_roles(self.roles)
        if self.task is not None:
            return TaskRequest(parse_task(self.task), roles)
        before = earlier.task if earlier else None
        return TaskRequest(before.model_copy(update={"reason": "as the version before"}) if before else None, roles)

    def _declared(self, before: Manifest | None) -> Preprocessing | Literal["metadata"] | None:
        match self.preprocessing:
            case None:
                return before.known_preprocessing if before else None
            case "none":
                return None
            case "metadata":
                return "metadata"
            case path:
                return read_preprocessing(Path(path))

    def _tflite_flags(self) -> dict[str, Any]:
        return {
            "--signature": self.signature,
            "--free-size": self.free_size or None,
            "--unmeasured": self.unmeasured or None,
        }

    def _file_request(self, before: Contract | None) -> FileRequest:
        """As given; signature and free sizes else as in the version before."""
        signature = self.signature if self.signature is not None else before.signature if before else ""
        sizes = free_sizes(self.free_size, "--free-size")
        return FileRequest(signature, sizes or (sizes_of(before) if before else ()), self.unmeasured)

    def _label_names(self) -> tuple[str, ...]:
        return () if self.labels is None else read_labels(self.labels)


def _check_unset(values: Mapping[str, Any], flag: str) -> None:
    for name, value in values.items():
        if value is not None:
            raise BadInput(f"{name} does not go with {flag}, which trains nothing", hint="leave one of them out")


def free_sizes(given: Sequence[str], flag: str) -> tuple[FreeSize, ...]:
    """Read texts such as 1=32-512, or 0:1=32-512 for input 0 alone. Raises BadInput."""
    sizes = []
    for text in given:
        found = re.fullmatch(r"(?:(\d{1,2}):)?(\d)=(\d{1,9})(?:-(\d{1,9}))?", text.strip())
        low, high = (int(found[3]), int(found[4] or found[3])) if found else (0, 0)
        if not found or not 1 <= low <= high:
            raise BadInput(
                f"{flag} {text!r} is not [INPUT:]DIMENSION=LOW-HIGH",
                hint=f"such as {flag} 1=32-512, or {flag} 1=224 for one size",
            )
        sizes.append(FreeSize(int(found[2]), low, high, int(found[1]) if found[1] else -1))
    return tuple(sizes)
