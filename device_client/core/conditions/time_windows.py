"""Windows of local time: whether one is open, and when the next opens.

A window is open while a wall clock shows one of its minutes. So a window in the hour
that daylight saving skips does not open that night, and one in the hour that comes
twice opens twice. The time zone is that of the given time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from device_client.core.policy import MINUTES_A_DAY, TimeWindow

_FARTHEST_MINUTES: Final = 3 * MINUTES_A_DAY  # a window may be skipped one night, not two
_MINUTE: Final = timedelta(minutes=1)


def is_open(windows: Sequence[TimeWindow], local: datetime) -> bool:
    return any(window.holds(_minute(local)) for window in windows)


def until_open_s(windows: Sequence[TimeWindow], local: datetime) -> float:
    """Seconds until a window opens; 0 while one is open. `local` must be aware."""
    if is_open(windows, local):
        return 0.0
    now = local.astimezone(UTC)
    shown = now - timedelta(seconds=local.second, microseconds=local.microsecond)  # when this minute began
    minutes = min((window.start_minute - _minute(local)) % MINUTES_A_DAY for window in windows)
    if (shown + minutes * _MINUTE).astimezone(local.tzinfo).utcoffset() != local.utcoffset():
        minutes = _minutes_until_open(windows, shown, local)  # the clock is changed before then
    return (shown + minutes * _MINUTE - now).total_seconds()


def opening(windows: Sequence[TimeWindow], local: datetime) -> datetime:
    """The local time when the next window opens; now, where one is open."""
    return (local.astimezone(UTC) + timedelta(seconds=until_open_s(windows, local))).astimezone(local.tzinfo)


def _minutes_until_open(windows: Sequence[TimeWindow], shown: datetime, local: datetime) -> int:
    for minutes in range(1, _FARTHEST_MINUTES):
        if is_open(windows, (shown + minutes * _MINUTE).astimezone(local.tzinfo)):
            return minutes
    return _FARTHEST_MINUTES


def _minute(local: datetime) -> int:
    return local.hour * 60 + local.minute
