"""Where one model stood when its status log was last written."""

from __future__ import annotations

from protocol.messages.base import Frozen, Utc
from protocol.messages.device import Status


class LogEntry(Frozen):
    """A `since` is None where the time before it was not observed."""

    status: Status
    state_since: Utc | None = None
    live_since: Utc | None = None
    plan_since: Utc | None = None
    link_up: bool = False
    link_since: Utc | None = None
    link_trouble: str = ""
    notice: str = ""  # why the last bundle was not accepted
    crossed: tuple[str, ...] = ()  # conditions whose limit the last readings crossed
    round_trip_ms: float | None = None
    throughput_bytes_s: float | None = None
