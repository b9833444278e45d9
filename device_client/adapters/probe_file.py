"""Readings from a JSON file in place of the device's own, for tests and demonstrations. Reads no sensor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any, Final, get_args

from device_client.core.readings import LinkKind, Readings, Unknown

PROBE_MAX_BYTES: Final = 16_384
_NUMBERS: Final = {"cpu_percent", "temperature_c", "battery_percent", "round_trip_ms"}
_COUNTS: Final = {"memory_free_bytes", "disk_free_bytes"}
_FLAGS: Final = {"on_mains", "metered", "clock_synchronised"}


def overridden(readings: Readings, path: Path) -> Readings:
    """The readings with those of the file in their place; a value that cannot be used is Unknown with the reason.

    A file that cannot be read at all makes every reading Unknown that a file could give: nothing is guessed.
    """
    try:
        with path.open("rb") as probe:
            told = json.loads(probe.read(PROBE_MAX_BYTES + 1))
    except (OSError, ValueError) as broken:
        return _all_unknown(readings, f"the probe file {path.name} cannot be read: {broken}"[:200])
    if not isinstance(told, dict):
        return _all_unknown(readings, f"the probe file {path.name} holds no JSON object")
    return _with(readings, told)


def _all_unknown(readings: Readings, reason: str) -> Readings:
    return _with(readings, dict.fromkeys(_NUMBERS | _COUNTS | _FLAGS | {"link_kind"}), reason)


def _with(readings: Readings, told: Mapping[str, Any], reason: str = "") -> Readings:
    known = {field.name for field in fields(Readings)}
    changes = {name: _value(name, value, reason) for name, value in told.items() if name in known}
    return replace(readings, **{name: value for name, value in changes.items() if value is not None})


def _value(name: str, value: Any, reason: str) -> Any:
    """The value in its type, Unknown, or None to leave the device's own."""
    if name == "local_time":
        return _local_time(value)
    if name == "held":
        return value if isinstance(value, str) else None
    if value is None:
        return Unknown(reason or "the probe file says it is unknown")
    fits = (
        (name in _NUMBERS and isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value))
        or (name in _COUNTS and _is_count(value))
        or (name in _FLAGS and isinstance(value, bool))
        or (name == "link_kind" and value in get_args(LinkKind))
    )
    return value if fits else Unknown(f"the probe file's {name} is {value!r}"[:200])


def _local_time(value: Any) -> datetime | Unknown:
    """ISO 8601; without an offset it is a time of this device's own zone."""
    try:
        return datetime.fromisoformat(value).astimezone()
    except (TypeError, ValueError, OverflowError):
        return Unknown(f"the probe file's local_time is {value!r}"[:200])


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
