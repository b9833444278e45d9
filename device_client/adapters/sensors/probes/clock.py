"""The clock on the wall: in which zone it hangs, and whether anybody has set it."""

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
_TIMEX_BYTES: Final = 512  # struct timex has 208 or fewer; all zero asks without changing anything
_TIME_ERROR: Final = 5  # what adjtimex answers while nobody has set the clock


def synchronised(mark: Path = _SYNCHRONISED) -> bool:
    """Whether the kernel believes its clock. Raises Unread."""
    if mark.exists():
        return True
    answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if answer < 0:
        raise Unread(f"the kernel does not say: adjtimex failed with error {ctypes.get_errno()}")
    return bool(answer != _TIME_ERROR)


def zone_of(name: str) -> tzinfo:
    """An IANA zone, such as Europe/Berlin. Raises ValueError when there is none of that name here."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # a path outside, a folder, no such zone
        raise ValueError(f"there is no time zone {name!r} on this device") from None


def system_zone(localtime: Path = _LOCALTIME) -> tzinfo:
    """The zone of this system, with its daylight saving; where it cannot be known, its offset of now."""
    try:
        if name := os.environ.get("TZ", "").removeprefix(":"):
            return zone_of(name)
        with localtime.open("rb") as file:
            return ZoneInfo.from_file(file, key=str(localtime))
    except (ValueError, OSError):
        return datetime.now().astimezone().tzinfo or UTC
