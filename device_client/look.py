"""A look at a device from another process, without a broker: what it remembers, and one answer of its model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from device_client.adapters.journal import peek
from device_client.core.device import Device, Installed
from device_client.ports import ModelFile
from device_client.settings import DeviceSettings
from device_client.station import JOURNAL, model_folder
from protocol.errors import MissingPart

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def remembered(settings: DeviceSettings, model: str) -> Device:
    """The remembered state of a model; that of a device that never ran, when there is none."""
    state = peek(settings.state / JOURNAL, model)
    return Device() if state is None else Device.model_validate_json(state)


def summary(settings: DeviceSettings, model: str) -> dict[str, Any]:
    """The facts of one model, for people and programs."""
    device = remembered(settings, model)
    wanted = device.plan.assign(settings.device, settings.groups) if device.plan else None
    return {
        "model": model,
        "state": device.phase.value,
        "installed_version": device.live.version if device.live else None,
        "variant": device.live.variant.name if device.live else None,
        "latest_version": wanted.version if wanted else None,
        "previous_version": device.previous.version if device.previous else None,
        "reason": device.reason,
        "plan_sequence": device.plan.sequence if device.plan else 0,
        "refused": [refusal.model_dump() for refusal in device.refusals],
        "file": str(model_folder(settings, model) / "files" / device.live.variant.sha256) if device.live else None,
    }


def installed(settings: DeviceSettings, model: str) -> Installed:
    """What is live. Raises MissingPart when no version is installed."""
    live = remembered(settings, model).live
    if live is None:
        raise MissingPart(f"no version of {model} is installed here yet", hint="`device-client run` fetches one")
    return live


def answer(settings: DeviceSettings, model: str, x: NDArray[np.float32]) -> dict[str, Any]:
    """One answer of the installed model to one input, in this process. Raises BadInput, BadModel, MissingPart."""
    from device_client.serving import LiveServing

    live = installed(settings, model)
    path = model_folder(settings, model) / "files" / live.variant.sha256
    section = next(section for section in settings.models if section.name == model)
    serving = LiveServing(threads=section.threads, delegates=section.opened_on())
    manifest = live.manifest
    labels, statistics = manifest.labels, manifest.input_statistics
    serving.swap(ModelFile(path, manifest.version, live.variant.name, manifest.contract, labels, statistics))
    said = serving.predict(x)
    serving.close()
    return {
        "model": model,
        "version": manifest.version,
        "variant": live.variant.name,
        "top": said.top,
        "label": said.label,
        "confidence": said.confidence,
        "output": [float(value) for value in said.output.reshape(-1)],
    }
