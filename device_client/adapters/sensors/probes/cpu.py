"""CPU load and temperature, by psutil."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from device_client.adapters.sensors.probes.base import Findings, Unread, attempt, number_of, text_of
from device_client.adapters.sensors.probes.system import cpu_times, sensors_temperatures
from device_client.core.conditions.readings import Unknown

AVERAGE_MAX_S: Final = 10.0  # an average over a longer time says little about the present
SAMPLE_S: Final = 0.1
_CPU_SENSORS: Final = frozenset(
    ["cpu_thermal", "cpu-thermal", "coretemp", "k10temp", "soc_thermal", "soc-thermal", "x86_pkg_temp"]
)


class CpuProbe:
    """The load is the average since the last reading, if recent, or of 0.1 s."""

    names = ("cpu_percent", "temperature_c")

    def __init__(
        self,
        temperatures: Callable[[], Mapping[str, Sequence[Any]]] = sensors_temperatures,
        zones: Path = Path("/sys/class/thermal"),
        *,
        clock_s: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._temperatures, self._zones = temperatures, zones
        self._clock_s, self._pause = clock_s, pause
        self._times: tuple[float, float] | Unknown = attempt(_busy_and_total_s)
        self._read_at_s = clock_s()

    def read(self) -> Findings:
        return {"cpu_percent": attempt(self._load_percent), "temperature_c": attempt(self._temperature_c)}

    def _load_percent(self) -> float:
        """Not psutil's `cpu_percent`, which keeps the last reading per thread."""
        before = self._times
        if self._clock_s() - self._read_at_s > AVERAGE_MAX_S:
            before = attempt(_busy_and_total_s)
            self._pause(SAMPLE_S)
        self._times, self._read_at_s = attempt(_busy_and_total_s), self._clock_s()
        now = self._times
        if isinstance(now, Unknown):
            raise Unread(now.reason)
        if isinstance(before, Unknown):
            raise Unread("there is no earlier reading to compare with")
        total_s = now[1] - before[1]
        if total_s <= 0:
            raise Unread("no time has passed to measure")
        return round(100.0 * (now[0] - before[0]) / total_s, 1)

    def _temperature_c(self) -> float:
        """Of a CPU sensor, or a zone, as psutil reads none beside other sensors."""
        for name, sensors in self._temperatures().items():
            if name in _CPU_SENSORS:
                return float(sensors[0].current)
        zones = sorted(self._zones.glob("thermal_zone*"))
        if not zones:
            raise Unread("this device shows no temperature sensor")
        zone = next((zone for zone in zones if attempt(partial(text_of, zone / "type")) in _CPU_SENSORS), zones[0])
        return number_of(zone / "temp") / 1000


def _busy_and_total_s() -> tuple[float, float]:
    """CPU seconds of all cores since boot."""
    times = cpu_times()
    busy_s = times.user + times.nice + times.system + times.irq + times.softirq
    return busy_s, busy_s + times.idle + times.iowait
