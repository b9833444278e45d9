"""One prediction of an installed model, in this process and without a broker."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from device_client.adapters.storage.file_store import is_whole
from device_client.core.state import Device, Installed
from device_client.diagnostics.inspection import saved_device
from device_client.paths import model_file
from device_client.ports.serving import ModelFile
from device_client.serving.live_serving import LiveServing
from device_client.serving.prediction import Prediction
from device_client.settings.loader import DeviceSettings
from protocol.content.label_file import labels_of
from protocol.errors import BadInput, BlobDamaged, MissingPart


@contextlib.contextmanager
def opened(settings: DeviceSettings, model: str, version: str | None = None) -> Iterator[tuple[Installed, LiveServing]]:
    """The live version, or another one that is here. Raises MissingPart, BlobDamaged,
    BadInput for a version that is not.
    """
    chosen = _installed(saved_device(settings, model), model, version)
    path = model_file(settings.state, model, chosen.variant.sha256)
    if not is_whole(path, chosen.variant.sha256):
        raise BlobDamaged(
            f"the file of {model} {chosen.version} is gone, or holds other bytes than were signed: {path}",
            hint="`device-client run` fetches it again",
        )
    section = next(section for section in settings.models if section.name == model)
    serving = LiveServing(threads=section.threads, delegates=section.runtime_delegates())
    labels = labels_of(chosen.manifest, partial(model_file, settings.state, model))
    try:
        serving.swap(ModelFile.of(chosen, path, labels))
        yield chosen, serving
    finally:
        serving.close()


def facts_of(model: str, chosen: Installed, prediction: Prediction) -> dict[str, Any]:
    """A prediction as plain values; `answer` is in the words of the model's task."""
    answer = prediction.answer
    return {
        "model": model,
        "version": chosen.version,
        "variant": chosen.variant.name,
        "top": prediction.top,
        "label": prediction.label,
        "confidence": prediction.confidence,
        "output": _plain(prediction.output.reshape(-1)),
        "answer": None if answer is None else _plain(dataclasses.asdict(answer)),
    }


def _installed(device: Device, model: str, version: str | None) -> Installed:
    if device.live is None:
        raise MissingPart(f"no version of {model} is installed here yet", hint="`device-client run` fetches one")
    here = {each.version: each for each in (device.behind, device.previous, device.live) if each is not None}
    if version is not None and version not in here:
        raise BadInput(f"{model} {version} is not installed here", hint=f"there is {', '.join(here)}")
    return device.live if version is None else here[version]


def _plain(value: Any) -> Any:
    """For JSON: arrays as lists, bytes as text."""
    match value:
        case np.ndarray() | np.generic():
            return _plain(value.tolist())
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case bytes():
            return value.decode(errors="replace")
        case _:
            return value
