"""The readings of a device's sensors, each a value or `Unknown` with the reason."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from device_client.core.conditions.model_quality import Quality


@dataclass(frozen=True, slots=True)
class Unknown:
    """A reading that could not be taken."""

    reason: str


LinkKind = Literal["ethernet", "wifi", "cellular", "other"]
NOT_READ = Unknown("not read yet")


@dataclass(frozen=True, slots=True)
class Readings:
    """All readings of one moment. Percentages are 0-100."""

    cpu_percent: float | Unknown = NOT_READ
    memory_free_bytes: int | Unknown = NOT_READ
    disk_free_bytes: int | Unknown = NOT_READ
    temperature_c: float | Unknown = NOT_READ
    throttled: bool | Unknown = NOT_READ  # the processor is slowed down, now
    under_voltage: bool | Unknown = NOT_READ  # now
    battery_percent: float | Unknown = NOT_READ
    on_mains: bool | Unknown = NOT_READ
    link_kind: LinkKind | Unknown = NOT_READ
    metered: bool | Unknown = NOT_READ
    wifi_signal_dbm: float | Unknown = NOT_READ
    round_trip_ms: float | Unknown = NOT_READ
    throughput_bytes_s: float | Unknown = NOT_READ  # of the last download
    clock_synchronised: bool | Unknown = NOT_READ
    local_time: datetime | Unknown = NOT_READ  # aware, in the zone of the device: its tzinfo knows of daylight saving
    held: str = ""  # the application's own hold: its reason, empty when it does not hold
    quality: Quality | None = None  # of the live model recently; None without a measurement

    def after(self, elapsed_s: float) -> Readings:
        """The same readings that much later: only the local time has moved on."""
        local = self.local_time
        if isinstance(local, Unknown):
            return self
        moved = local.astimezone(UTC) + timedelta(seconds=elapsed_s)
        return replace(self, local_time=moved.astimezone(local.tzinfo))
