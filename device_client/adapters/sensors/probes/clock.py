"""The system's clock: its time zone, and whether it is synchronised."""

from __future__ import annotations

import ctypes
import os
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from device_client.adapters.sensors.probes.base import Unread

_SYNCHRONISED: Final = Path("/run/systemd/timesync/synchronized")
_LOCALTIME: Final = Path("/etc/localtime")
_TIMEX_BYTES: Final = 512  # struct timex has at most 208; all zero reads without a change
_TIME_ERROR: Final = 5  # returned by adjtimex while the clock is not synchronised


def synchronised(mark: Path = _SYNCHRONISED) -> bool:
    """Whether the kernel considers its clock synchronised. Raises Unread."""
    if mark.exists():
        return True
    answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if answer < 0:
        raise Unread(f"the kernel does not say: adjtimex failed with error {ctypes.get_errno()}")
    return bool(answer != _TIME_ERROR)


def zone_of(name: str) -> tzinfo:
    """An IANA zone, such as Europe/Berlin. Raises ValueError if it is unknown."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # a path outside, a folder, no such zone
        raise ValueError(f"there is no time zone {name!r} on this device") from None


def system_zone(localtime: Path = _LOCALTIME) -> tzinfo:
    """The system's zone with daylight saving, or only its present offset if unknown."""
    try:
        if name := os.environ.get("TZ", "").removeprefix(":"):
            return zone_of(name)
        with localtime.open("rb") as file:
            return ZoneInfo.from_file(file, key=str(localtime))
    except (ValueError, OSError):
        return datetime.now().astimezone().tzinfo or UTC
