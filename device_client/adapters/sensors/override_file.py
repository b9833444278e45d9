"""Readings from a JSON file in place of the device's, for tests and demonstrations."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import tzinfo
from pathlib import Path
from typing import Any, Final

from device_client.adapters.sensors.probes.base import bytes_of
from device_client.adapters.sensors.probes.validation import NAMES, PLAIN, validated
from device_client.core.conditions.readings import Readings, Unknown

PROBE_MAX_BYTES: Final = 16_384


def overridden(readings: Readings, path: Path, zone: tzinfo | None = None) -> Readings:
    """Replace readings by the file's, or by Unknown if they or the file are invalid."""
    try:
        values = json.loads(bytes_of(path, PROBE_MAX_BYTES + 1))
    except (OSError, ValueError, RecursionError) as broken:
        return _all_unknown(readings, f"the probe file {path.name} cannot be read: {broken}"[:200])
    if not isinstance(values, dict):
        return _all_unknown(readings, f"the probe file {path.name} holds no JSON object")
    changes = {name: validated(name, values[name], "the probe file", zone) for name in NAMES & values.keys()}
    return replace(readings, **changes)


def _all_unknown(readings: Readings, reason: str) -> Readings:
    unknown: dict[str, Any] = dict.fromkeys(PLAIN, Unknown(reason))
    return replace(readings, **unknown)
