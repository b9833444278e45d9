"""What an application imports: a model that answers, and that is kept up to date behind its back.

from device_client import EdgeModel

with EdgeModel("device.toml") as model:
    answer = model.predict(x)      # never waits for an update
    model.label(answer, 7)         # when the truth becomes known
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from device_client.adapters.storage.disk import os_error
from device_client.paths import HOLD
from device_client.service.shared_service import SharedService
from device_client.serving.live_serving import Prediction
from device_client.settings.loader import load
from protocol.errors import BadSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class EdgeModel:
    """One model of a device. Thread-safe; works without a broker on what is installed.

    The updater of the whole device runs on one background thread of this process, whichever of its models are opened,
    and ends with the last of them; a second process with the same settings is refused with Busy.
    """

    def __init__(self, config: str | Path, model: str | None = None) -> None:
        """Read `config` (a device.toml) and begin. `model`: which one, when the device has several.

        Raises BadSettings (also where this process has the device open with other settings), Busy, MissingPart.
        """
        settings = load(Path(config))
        names = [section.name for section in settings.models]
        chosen = model or names[0]
        if chosen not in names:
            raise BadSettings(f"{config} has no model {chosen!r}", hint=f"it has {', '.join(names)}")
        self._shared = SharedService(settings)
        self._serving = self._shared.service.servings[chosen]
        self._hold = settings.state / HOLD

    def predict(self, x: NDArray[np.float32] | Sequence[NDArray[np.float32]]) -> Prediction:
        """Answer one input (of the contract's shape, without the batch) or a batch of them, float32.

        Raises BadInput for a shape or value that the model cannot take, MissingPart when no version is installed yet.
        """
        return self._serving.predict(x)

    def label(self, prediction: Prediction | int, true_class: int | str) -> bool:
        """Tell what a prediction, or the one of this id, should have been: accuracy decides better than agreement.

        False when it came too late to be counted. Raises BadInput for a class that the model does not know.
        """
        return self._serving.label(prediction, true_class)

    def wait_ready(self, timeout_s: float | None = None) -> bool:
        """Wait until a version is installed; False when the time is over."""
        return self._serving.wait_ready(timeout_s)

    @property
    def version(self) -> str | None:
        """The version that answers now."""
        return self._serving.version

    def hold(self, reason: str) -> None:
        """Keep updates from beginning, and another version from beginning to answer, until `release_hold`.

        A brake of the application's own, also over a restart; what is on probation already goes on, and may go back.

        A full disk holds too, but for the reason's words. Raises NoRoom or BadInput where the file cannot be made.
        """
        try:
            self._hold.write_text(reason + "\n", encoding="utf-8")
        except OSError as refused:
            if not self._hold.exists():  # it is the file that holds
                raise os_error(refused, f"updates cannot be held by {self._hold}") from None

    def release_hold(self) -> None:
        """Let updates begin again. Raises NoRoom or BadInput where the file cannot be removed."""
        try:
            self._hold.unlink(missing_ok=True)
        except OSError as refused:
            raise os_error(refused, f"the hold {self._hold} cannot be removed") from None

    def close(self) -> None:
        """Let go of it; with the last model of a device, say goodbye to the broker and end the updater.

        A second time does nothing.
        """
        self._shared.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
