"""psutil's functions that the probes use. Raises MissingPart without it."""

from __future__ import annotations

from protocol.errors import MissingPart

try:
    from psutil import cpu_times, disk_usage, sensors_battery, sensors_temperatures, virtual_memory
except ModuleNotFoundError:
    raise MissingPart("psutil is not installed", hint='type: pip install "edgeferry[device]"') from None

__all__ = ["cpu_times", "disk_usage", "sensors_battery", "sensors_temperatures", "virtual_memory"]
