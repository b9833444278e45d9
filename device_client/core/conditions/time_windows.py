"""Hours of local time: whether a window is open, and when the next one opens. The zone comes with the time it is told.

The rule is what a person reads on a clock on the wall: a window is open while the clock shows one of its minutes. So a
window in the hour that daylight saving leaves out does not come that night, and one in the hour that comes twice is
open twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from device_client.core.policy import MINUTES_A_DAY, TimeWindow

_FARTHEST_MINUTES: Final = 3 * MINUTES_A_DAY  # a window may fall out one night, not two
_MINUTE: Final = timedelta(minutes=1)


def is_open(windows: Sequence[TimeWindow], local: datetime) -> bool:
    """Whether the clock shows a minute of one of the windows."""
    return any(window.holds(_minute(local)) for window in windows)


def until_open_s(windows: Sequence[TimeWindow], local: datetime) -> float:
    """Seconds until the clock shows a minute of one of the windows; 0 when it does. `local` must be aware."""
    if is_open(windows, local):
        return 0.0
    now = local.astimezone(UTC)
    shown = now - timedelta(seconds=local.second, microseconds=local.microsecond)  # when this minute began
    minutes = min((window.start_minute - _minute(local)) % MINUTES_A_DAY for window in windows)
    if (shown + minutes * _MINUTE).astimezone(local.tzinfo).utcoffset() != local.utcoffset():
        minutes = _walk(windows, shown, local)  # the clock is changed on the way
    return (shown + minutes * _MINUTE - now).total_seconds()


def opening(windows: Sequence[TimeWindow], local: datetime) -> datetime:
    """What the clock shows when the next window opens; what it shows by now where one is open."""
    return (local.astimezone(UTC) + timedelta(seconds=until_open_s(windows, local))).astimezone(local.tzinfo)


def _walk(windows: Sequence[TimeWindow], shown: datetime, local: datetime) -> int:
    """Look at the clock every minute: right whatever a zone does."""
    for minutes in range(1, _FARTHEST_MINUTES):
        if is_open(windows, (shown + minutes * _MINUTE).astimezone(local.tzinfo)):
            return minutes
    return _FARTHEST_MINUTES


def _minute(local: datetime) -> int:
    return local.hour * 60 + local.minute
