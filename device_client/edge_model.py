"""The model of an application, updated in the background.

from device_client import EdgeModel

with EdgeModel("device.toml") as model:
    prediction = model.predict(x)  # also while an update goes on
    model.label(prediction, 7)     # once the true class is known
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from device_client.adapters.storage.disk import os_error
from device_client.paths import HOLD
from device_client.service.shared_service import SharedService
from device_client.serving.input_format import Inputs
from device_client.serving.live_serving import Prediction
from device_client.serving.model_files import ModelFiles
from device_client.serving.stream import Stream
from device_client.settings.loader import load
from protocol.errors import BadSettings
from protocol.messages.contract import Contract, TaskDeclaration
from protocol.messages.preprocessing import Preprocessing


class EdgeModel:
    """One model of a device. Thread-safe; the installed version needs no broker.

    Updates run on one background thread, which the device's `EdgeModel`s share.
    """

    def __init__(self, config: str | Path, model: str | None = None) -> None:
        """`config`: a device.toml. `model`: needed when the device has several.

        Raises BadSettings (also if this process runs the device with other settings),
        Busy if another process runs the device, MissingPart.
        """
        settings = load(Path(config))
        names = [section.name for section in settings.models]
        chosen = model or names[0]
        if chosen not in names:
            raise BadSettings(f"{config} has no model {chosen!r}", hint=f"it has {', '.join(names)}")
        self._shared = SharedService(settings)
        self._serving = self._shared.service.servings[chosen]
        self._hold = settings.state / HOLD

    def predict(self, x: Inputs) -> Prediction:
        """Run the model on one input (the contract's shape, no batch axis) or a batch.

        In the model's own types, or real numbers where it is quantized; with
        `preprocessing`, what its `raw` says, such as a uint8 picture. Several inputs: a
        list, or a dictionary by their names. A model that keeps state answers from its
        initial state: for inputs that follow each other see `stream`.

        Raises BadInput for a shape or value that the model cannot take, BadModel when
        the runtime fails, MissingPart before the first version is installed.
        """
        return self._serving.predict(x)

    def stream(self) -> Stream:
        """Begin a stream: inputs of one source that the model answers in order.

        It goes on with its version and state through an update, until its `restart`.
        Raises MissingPart before the first version is installed, BadModel.
        """
        return self._serving.stream()

    def label(self, prediction: Prediction | int, truth: Any) -> bool:
        """Give a prediction, or the one of this id, its truth.

        Of a classifier: the class, by number or name; of other tasks: docs/TASKS.md.
        With labels a trial measures accuracy, and without them only agreement. False
        when the label comes too late to count. Raises BadInput for what is no truth.
        """
        return self._serving.label(prediction, truth)

    def wait_ready(self, timeout_s: float | None = None) -> bool:
        """Wait until a version is installed; False after the timeout."""
        return self._serving.wait_ready(timeout_s)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the live version's classes; "" for a class without one."""
        return self._serving.labels

    def file(self, name: str) -> Path:
        """A file of the version that answers now, such as `anchors.npy`.

        It stays for one more version at least. Raises BadInput if there is no such
        file, MissingPart before the first version is installed.
        """
        return self._serving.file(name)

    def files(self) -> AbstractContextManager[ModelFiles]:
        """Hold all files of the version that answers now, for a `with` block.

        They are of one version (`files.version`) and stay until the block ends,
        whatever is installed meanwhile: `with model.files() as files: files["a.npy"]`.
        """
        return self._serving.files()

    @property
    def version(self) -> str | None:
        return self._serving.version

    @property
    def contract(self) -> Contract | None:
        """Inputs and outputs, with types and shapes; None before the first version."""
        return self._serving.contract

    @property
    def task(self) -> TaskDeclaration | None:
        """What the model is for; None before the first version."""
        return self._serving.task

    @property
    def preprocessing(self) -> Preprocessing | None:
        """What `predict` does with an input first, and the input that it expects.

        None if it takes what the model takes, or before the first version.
        """
        return self._serving.preprocessing

    def hold(self, reason: str) -> None:
        """Let no update begin and no other version serve, until `release_hold`.

        Survives a restart; a version on probation may be rolled back. NoRoom or
        BadInput if the file cannot be made; on a full disk it may lack its reason.
        """
        try:
            self._hold.write_text(reason + "\n", encoding="utf-8")
        except OSError as refused:
            if not self._hold.exists():  # the existence of the file is the hold
                raise os_error(refused, f"updates cannot be held by {self._hold}") from None

    def release_hold(self) -> None:
        """End the hold. Raises NoRoom or BadInput when its file cannot be removed."""
        try:
            self._hold.unlink(missing_ok=True)
        except OSError as refused:
            raise os_error(refused, f"the hold {self._hold} cannot be removed") from None

    def close(self) -> None:
        """Close the model; with the last one of the device, updates end."""
        self._shared.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
