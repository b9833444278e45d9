"""A look at a device from another process, without a broker: what it remembers, why, and one answer of its model."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from device_client.adapters.storage.file_store import is_whole
from device_client.adapters.storage.journal import Seen, holder, peek
from device_client.core.conditions.readings import Readings
from device_client.core.state import Device, Installed
from device_client.diagnostics.explanation import Snapshot
from device_client.engine.status_log import read_entry
from device_client.paths import JOURNAL, model_file
from device_client.ports.serving import ModelFile
from device_client.settings.loader import DeviceSettings
from protocol.errors import BadInput, BlobDamaged, MissingPart
from protocol.messages.base import first_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def remembered(settings: DeviceSettings, model: str) -> Device:
    """The remembered state of a model; that of a device that never ran, when there is none."""
    return _device(peek(settings.state / JOURNAL, model), model)


def look(settings: DeviceSettings, model: str, readings: Readings, now: datetime) -> Snapshot:
    """Everything that explains where a model stands. Raises BadInput where the journal cannot be read."""
    section = next(section for section in settings.models if section.name == model)
    journal = settings.state / JOURNAL
    seen = peek(journal, model)
    device = _device(seen, model)
    return Snapshot(settings.policy(section), device, read_entry(seen.entry), readings, holder(journal), now)


def summary(settings: DeviceSettings, model: str) -> dict[str, Any]:
    """The facts of one model, for people and programs."""
    seen = peek(settings.state / JOURNAL, model)
    device, entry = _device(seen, model), read_entry(seen.entry)
    next_check = entry.status.next_check if entry else None
    wanted = device.plan.assign(settings.device, settings.groups) if device.plan else None
    return {
        "model": model,
        "state": device.phase.value,
        "installed_version": device.live.version if device.live else None,
        "variant": device.live.variant.name if device.live else None,
        "latest_version": wanted.version if wanted else None,
        "previous_version": device.previous.version if device.previous else None,
        "reason": entry.status.reason if entry else device.reason,
        "next_check": next_check.isoformat() if next_check else None,
        "plan_sequence": device.plan.sequence if device.plan else 0,
        "refused": [refusal.model_dump() for refusal in device.refusals],
        "file": str(model_file(settings.state, model, device.live.variant.sha256)) if device.live else None,
    }


def installed(settings: DeviceSettings, model: str) -> Installed:
    """What is live. Raises MissingPart when no version is installed."""
    live = remembered(settings, model).live
    if live is None:
        raise MissingPart(f"no version of {model} is installed here yet", hint="`device-client run` fetches one")
    return live


def answer(settings: DeviceSettings, model: str, x: NDArray[np.float32]) -> dict[str, Any]:
    """One answer of the installed model to one input, in this process.

    Raises BadInput, BadModel, BlobDamaged, MissingPart.
    """
    from device_client.serving.live_serving import LiveServing

    live = installed(settings, model)
    path = model_file(settings.state, model, live.variant.sha256)
    if not is_whole(path, live.variant.sha256):
        raise BlobDamaged(
            f"the file of {model} {live.version} is gone, or holds other bytes than were signed: {path}",
            hint="`device-client run` fetches it anew",
        )
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


def _device(seen: Seen, model: str) -> Device:
    try:
        return Device() if seen.state is None else Device.model_validate_json(seen.state)
    except ValidationError as strange:
        raise BadInput(
            f"what this device remembers of {model} cannot be read: {first_error(strange)}",
            hint="a newer client may have written it: install that version again",
        ) from None
