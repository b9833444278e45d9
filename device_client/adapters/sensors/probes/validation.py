"""Checks the values of probes: their types, and bounds that no real device exceeds."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime, tzinfo
from typing import Any, Final, get_args

from device_client.adapters.sensors.probes.base import REASON_MAX_CHARACTERS
from device_client.core.conditions.model_quality import Quality
from device_client.core.conditions.readings import LinkKind, Readings, Unknown

NUMBERS: Final[dict[str, tuple[float, float]]] = {
    "cpu_percent": (0, 100),
    "temperature_c": (-90, 200),
    "battery_percent": (0, 100),
    "wifi_signal_dbm": (-150, 30),
    "round_trip_ms": (0, 1e8),
    "throughput_bytes_s": (0, 1e12),
}
COUNTS: Final = ("memory_free_bytes", "disk_free_bytes")
FLAGS: Final = ("throttled", "under_voltage", "on_mains", "metered", "clock_synchronised")
YEARS: Final = (1900, 9000)  # adding or subtracting days must not leave the calendar
NAMES: Final = frozenset(field.name for field in fields(Readings))
PLAIN: Final = (*NUMBERS, *COUNTS, *FLAGS, "link_kind")
"""The readings that are a plain value or Unknown."""


def validated(name: str, value: object, source: str, zone: tzinfo | None = None) -> Any:
    """The value, or Unknown with a reason. `zone`: of a local time without one."""
    if isinstance(value, Unknown):
        return value
    if name == "held":  # a reason that makes no sense still holds
        return value if isinstance(value, str) else _invalid(name, value, source).reason
    if name == "quality":
        return _quality(value)
    if value is None:
        return Unknown(f"{source} says it is unknown")
    if name == "local_time":
        return _local_time(value, zone) or _invalid(name, value, source)
    return value if _fits(name, value) else _invalid(name, value, source)


def _fits(name: str, value: object) -> bool:
    if name in NUMBERS:
        low, high = NUMBERS[name]
        return _is_number(value) and low <= value <= high  # type: ignore[operator]  # a number by now
    if name in COUNTS:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return isinstance(value, bool) if name in FLAGS else value in get_args(LinkKind)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _local_time(value: object, zone: tzinfo | None) -> datetime | None:
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        local = (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(zone)
    except (ValueError, OverflowError):
        return None
    return local if YEARS[0] <= local.year <= YEARS[1] else None


def _quality(value: object) -> Quality | None:
    """From a mapping, for demonstrations; values that are not shares are left out."""
    if isinstance(value, Quality) or not isinstance(value, dict):
        return value if isinstance(value, Quality) else None
    shares = {name: value.get(name) for name in ("accuracy", "drift", "agreement", "confidence")}
    count = value.get("inferences")
    inferences = count if isinstance(count, int) and count >= 0 else 0
    return Quality(**{name: share for name, share in shares.items() if _is_share(share)}, inferences=inferences)


def _is_share(value: object) -> bool:
    return _is_number(value) and 0 <= value <= 1  # type: ignore[operator]  # a number by now


def _invalid(name: str, value: object, source: str) -> Unknown:
    return Unknown(f"{source}'s {name} is {value!r}"[:REASON_MAX_CHARACTERS])
