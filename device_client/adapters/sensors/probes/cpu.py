"""The processor: how busy it is, and how hot. Knows nothing of limits."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from device_client.adapters.sensors.probes.base import Findings, Unread, attempt, number_of, text_of
from device_client.core.conditions.readings import Unknown

LOOK_OLD_S: Final = 10.0  # an average over longer says little of now
SAMPLE_S: Final = 0.1
_ZONES: Final = ("cpu-thermal", "cpu_thermal", "soc-thermal", "soc_thermal", "x86_pkg_temp")
_CHIPS: Final = ("cpu_thermal", "coretemp", "k10temp", "soc_thermal", "cpu-thermal")


class CpuProbe:
    """Its load is the average since the look before, or of a tenth of a second when that is long ago."""

    names = ("cpu_percent", "temperature_c")

    def __init__(
        self,
        ticks: Path = Path("/proc/stat"),
        zones: Path = Path("/sys/class/thermal"),
        chips: Path = Path("/sys/class/hwmon"),
        *,
        clock_s: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ticks_file, self._zones, self._chips = ticks, zones, chips
        self._clock_s, self._pause = clock_s, pause
        self._ticks: tuple[int, int] | Unknown = attempt(self._busy_and_all)
        self._looked_at_s = clock_s()

    def read(self) -> Findings:
        """Percent of all cores, and °C."""
        return {"cpu_percent": attempt(self._load_percent), "temperature_c": attempt(self._temperature_c)}

    def _load_percent(self) -> float | Unknown:
        """Our own sum, for psutil's begins anew in each thread."""
        before = self._ticks
        if self._clock_s() - self._looked_at_s > LOOK_OLD_S:
            before = attempt(self._busy_and_all)
            self._pause(SAMPLE_S)
        now = attempt(self._busy_and_all)
        self._ticks, self._looked_at_s = now, self._clock_s()
        if isinstance(before, Unknown) or isinstance(now, Unknown):
            return now if isinstance(now, Unknown) else Unknown("there was no look before this one")
        total = now[1] - before[1]
        return round(100.0 * (now[0] - before[0]) / total, 1) if total > 0 else Unknown("no time has passed to measure")

    def _busy_and_all(self) -> tuple[int, int]:
        """Ticks of all cores since boot."""
        first = text_of(self._ticks_file).split("\n", 1)[0].split()
        if len(first) < 8 or not all(field.isdigit() for field in first[1:8]):
            raise Unread(f"{self._ticks_file} does not begin with counts of ticks")
        user, nice, system, idle, wait, *rest = (int(field) for field in first[1:8])
        busy = user + nice + system + sum(rest)
        return busy, busy + idle + wait

    def _temperature_c(self) -> float:
        zones = sorted(self._zones.glob("thermal_zone*"))
        zones.sort(key=lambda zone: not _is_named(zone / "type", _ZONES))  # stable: the first of the others is next
        if zones:
            return number_of(zones[0] / "temp") / 1000
        for chip in sorted(self._chips.glob("hwmon*")):
            if _is_named(chip / "name", _CHIPS):
                return number_of(chip / "temp1_input") / 1000
        raise Unread("this device shows no temperature sensor")


def _is_named(file: Path, names: tuple[str, ...]) -> bool:
    try:
        return text_of(file) in names
    except (OSError, Unread):
        return False
