"""Throttling and under-voltage at present, by the flags of a Raspberry Pi's firmware.

Read from a file of the driver, else by `vcgencmd`, else from an alarm of the voltage
sensor, which shows no throttling. The upper bits, of the time since boot, are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from device_client.adapters.sensors.probes.base import Findings, Unread, number_of, text_of
from device_client.adapters.sensors.probes.run_program import output_of
from device_client.core.conditions.readings import Unknown

UNDER_VOLTAGE: Final = 0x1
CAPPED: Final = 0x2
THROTTLED: Final = 0x4
_NO_FLAGS: Final = "this device shows no firmware flags"


class PiFirmwareProbe:
    names = ("throttled", "under_voltage")

    def __init__(
        self,
        flags: Path = Path("/sys/devices/platform/soc/soc:firmware/get_throttled"),
        chips: Path = Path("/sys/class/hwmon"),
        command: Sequence[str] = ("vcgencmd", "get_throttled"),
        *,
        timeout_s: float = 1.0,
    ) -> None:
        self._flags, self._chips, self._command, self._timeout_s = flags, chips, tuple(command), timeout_s

    def read(self) -> Findings:
        """Raises Unread when the board has no such firmware."""
        if self._flags.exists():
            return _findings(text_of(self._flags))
        try:
            return _findings(output_of(self._command, self._timeout_s).strip().removeprefix("throttled="))
        except Unread as failure:
            alarm = self._alarm()
            if alarm is None:
                raise Unread(_NO_FLAGS) from failure
            return {"under_voltage": number_of(alarm) != 0, "throttled": Unknown(f"{_NO_FLAGS}: {failure}")}

    def _alarm(self) -> Path | None:
        found = (name for name in sorted(self._chips.glob("hwmon*/name")) if text_of(name) == "rpi_volt")
        return next((name.with_name("in0_lcrit_alarm") for name in found), None)


def _findings(flags: str) -> Findings:
    try:
        bits = int(flags, 16)
    except ValueError:
        raise Unread(f"the firmware says {flags[:40]!r}, which are no flags") from None
    return {"throttled": bool(bits & (CAPPED | THROTTLED)), "under_voltage": bool(bits & UNDER_VOLTAGE)}
