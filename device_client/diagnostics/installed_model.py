"""One prediction of the installed model, in this process and without a broker."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device_client.adapters.storage.file_store import is_whole
from device_client.diagnostics.inspection import saved_device
from device_client.paths import model_file
from device_client.ports.serving import ModelFile
from device_client.serving.live_serving import LiveServing
from device_client.settings.loader import DeviceSettings
from protocol.content.label_file import labels_of
from protocol.errors import BlobDamaged, MissingPart


def predict_once(settings: DeviceSettings, model: str, x: NDArray[np.float32]) -> dict[str, Any]:
    """Run it on one input. Raises BadInput, BadModel, BlobDamaged, MissingPart."""
    live = saved_device(settings, model).live
    if live is None:
        raise MissingPart(f"no version of {model} is installed here yet", hint="`device-client run` fetches one")
    path = model_file(settings.state, model, live.variant.sha256)
    if not is_whole(path, live.variant.sha256):
        raise BlobDamaged(
            f"the file of {model} {live.version} is gone, or holds other bytes than were signed: {path}",
            hint="`device-client run` fetches it again",
        )
    section = next(section for section in settings.models if section.name == model)
    serving = LiveServing(threads=section.threads, delegates=section.runtime_delegates())
    labels = labels_of(live.manifest, partial(model_file, settings.state, model))
    serving.swap(ModelFile.of(live, path, labels))
    prediction = serving.predict(x)
    serving.close()
    return {
        "model": model,
        "version": live.version,
        "variant": live.variant.name,
        "top": prediction.top,
        "label": prediction.label,
        "confidence": prediction.confidence,
        "output": [float(value) for value in prediction.output.reshape(-1)],
    }
