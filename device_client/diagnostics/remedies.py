"""What a person can do about each condition, on the device or in its settings."""

from __future__ import annotations

from typing import Final

from device_client.core.policy import Thresholds

WHAT: Final[dict[str, str]] = {
    "hold": "have the application let go (`EdgeModel.release_hold()`), or remove the file `hold` in the state folder",
    "throttling": "cool the board, or give it a stronger power supply",
    "voltage": "use a stronger power supply or a shorter cable",
    "battery": "charge it, or connect it to the mains",
    "memory": "end what needs the memory, or take a smaller variant: `prefer = \"size\"` under [[models]]",
    "disk": "remove files from the disk of the state folder, or set `state` to another disk",
    "cpu": "wait until the processor is less busy",
    "temperature": "cool the board",
    "metering": "connect it to a link that costs nothing",
    "signal": "move the board or the access point",
    "network": "look after the link to the broker",
    "hours": "wait until then, or change `hours` under [conditions] in device.toml",
    "throughput": "look after the link to the broker; it is tried again after a quarter of an hour",
}  # fmt: skip
SETTING: Final[dict[str, str]] = {
    "battery": "battery_min_percent",
    "memory": "memory_min_bytes",
    "disk": "disk_min_bytes",
    "cpu": "cpu_max_percent",
    "temperature": "temperature_max_c",
    "metering": "metered_allowed",
    "signal": "wifi_signal_min_dbm",
    "network": "round_trip_max_ms",
    "throughput": "throughput_min_bytes_s",
}
"""The setting under `[conditions]` that is the limit, where there is one."""


def remedy_for(condition: str, thresholds: Thresholds, *, unknown: bool) -> str:
    """What to do about a condition that objects; `unknown`: for want of a reading."""
    if unknown:
        return f'mend the sensor, or let it pass: in device.toml, [conditions] unknown_of.{condition} = "allow"'
    setting = SETTING.get(condition)
    if setting is None:
        return WHAT[condition]
    value = getattr(thresholds, setting)
    text = str(value).lower() if isinstance(value, bool) else f"{value:.10g}"
    return f"{WHAT[condition]}; or change, in device.toml, [conditions] {setting} = {text}"
