"""Reads a device's saved state, from another process and without a broker."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ValidationError

from device_client.adapters.storage.journal import holder, read_stored
from device_client.core.conditions.readings import Readings
from device_client.core.log_entry import LogEntry
from device_client.core.state import Device
from device_client.diagnostics.explanation import Snapshot
from device_client.engine.status_log import read_entry
from device_client.paths import JOURNAL, model_file
from device_client.settings.loader import DeviceSettings
from protocol.errors import BadInput
from protocol.messages.base import first_error


def saved_device(settings: DeviceSettings, model: str) -> Device:
    """The saved state of a model, or that of a device that never ran."""
    return _read(settings, model)[0]


def snapshot(settings: DeviceSettings, model: str, readings: Readings, now: datetime) -> Snapshot:
    """Everything that explains a model's state. Raises BadInput."""
    section = next(section for section in settings.models if section.name == model)
    device, entry = _read(settings, model)
    return Snapshot(settings.policy(section), device, entry, readings, holder(settings.state / JOURNAL), now)


def summary(settings: DeviceSettings, model: str) -> dict[str, Any]:
    """The facts of one model, for people and programs."""
    device, entry = _read(settings, model)
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


def _read(settings: DeviceSettings, model: str) -> tuple[Device, LogEntry | None]:
    seen = read_stored(settings.state / JOURNAL, model)
    try:
        device = Device() if seen.state is None else Device.model_validate_json(seen.state)
    except ValidationError as invalid:
        raise BadInput(
            f"what this device remembers of {model} cannot be read: {first_error(invalid)}",
            hint="a newer client may have written it: install that version again",
        ) from None
    return device, read_entry(seen.log_entry)
