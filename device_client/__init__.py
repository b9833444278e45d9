"""The device's side of EdgeFerry, for applications.

`EdgeModel` is the model of this device, `Prediction` what it returns, `Stream` what
`EdgeModel.stream()` does. They raise:

* `BadSettings`: the settings file cannot be used, or differs from that of another
  `EdgeModel` of the same device in this process
* `Busy`: another process runs the device
* `MissingPart`: no version is installed yet, or the runtime or a delegate is missing
* `BadInput`: the input or the label does not fit the model
* `BadModel`: the runtime failed on this input
* `NoRoom`: the disk is full

All of these are a `FerryError`, with a `message` and a `hint`. The three classes are
imported on first use, because they load numpy and the runtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.errors import BadInput, BadModel, BadSettings, Busy, FerryError, MissingPart, NoRoom

if TYPE_CHECKING:
    from device_client.edge_model import EdgeModel
    from device_client.serving.prediction import Prediction
    from device_client.serving.stream import Stream

__all__ = [
    "BadInput", "BadModel", "BadSettings", "Busy", "EdgeModel", "FerryError", "MissingPart", "NoRoom", "Prediction",
    "Stream",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name == "EdgeModel":
        from device_client.edge_model import EdgeModel

        return EdgeModel
    if name == "Prediction":
        from device_client.serving.prediction import Prediction

        return Prediction
    if name == "Stream":
        from device_client.serving.stream import Stream

        return Stream
    raise AttributeError(f"module 'device_client' has no attribute {name!r}")
