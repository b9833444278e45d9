"""The Sensors port on a real device: reads all probes at once, in bounded time.

Never raises: a reading that cannot be taken, or is invalid, is Unknown with the reason.
The first probe that gives a reading decides it; a probe file overrides single readings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, Final

from device_client.adapters.sensors.override_file import overridden
from device_client.adapters.sensors.probe_settings import ProbeSettings
from device_client.adapters.sensors.probes.base import Findings, Probe, attempt, bytes_of
from device_client.adapters.sensors.probes.clock import synchronised, system_zone
from device_client.adapters.sensors.probes.cpu import CpuProbe
from device_client.adapters.sensors.probes.owner_command import OwnerCommandProbe
from device_client.adapters.sensors.probes.validation import NAMES, PLAIN, validated
from device_client.adapters.sensors.timed_probe import TimedProbe
from device_client.core.conditions.readings import Readings, Unknown
from device_client.paths import HOLD

HOLD_MAX_CHARACTERS: Final = 200


class DeviceSensors:
    """Any thread may use it."""

    def __init__(
        self,
        state_folder: Path,
        probe_file: Path | None = None,
        *,
        sources: ProbeSettings | None = None,
        zone: tzinfo | None = None,
        probes: Sequence[Probe] | None = None,
        clock_s: Callable[[], float] = time.monotonic,
        wall: Callable[[tzinfo], datetime] = datetime.now,
    ) -> None:
        """`probes` replace those of `sources`, `zone` that of the system."""
        sources = sources or ProbeSettings()
        self._state_folder = state_folder
        self._probe_file = probe_file
        self._zone = zone or system_zone()
        self._timeout_s = sources.timeout_s
        self._clock_s, self._wall = clock_s, wall
        self._probes = list(sources.probes(state_folder) if probes is None else probes)
        self._timed_probes = [TimedProbe(probe, clock_s) for probe in self._probes]

    def read(self) -> Readings:
        found = self._merged(self._results())
        found["held"] = self._held() or found.get("held", "")  # the file and a probe may hold, each by itself
        ours: dict[str, Any] = {
            "clock_synchronised": attempt(synchronised),
            "local_time": validated("local_time", self._wall(self._zone), "the system", self._zone),
        }
        return self._overridden(Readings(**(dict.fromkeys(PLAIN, self._default()) | ours | found)))

    def hold_reason(self) -> str:
        return self._held() or self._overridden(Readings()).held

    def clock_synchronised(self) -> bool | Unknown:
        """Whether the clock is synchronised, by the kernel or the probe file."""
        return self._overridden(Readings(clock_synchronised=attempt(synchronised))).clock_synchronised

    def _results(self) -> list[Findings]:
        """What each probe finds; the CPU first, which programs of other probes load."""
        until_s = self._clock_s() + self._timeout_s
        results: dict[int, Findings] = {}
        for first in (True, False):
            wave = [at for at, probe in enumerate(self._probes) if isinstance(probe, CpuProbe) is first]
            for at in wave:
                self._timed_probes[at].start()
            results |= {at: self._timed_probes[at].result(until_s) for at in wave}
        return [results[at] for at in range(len(self._probes))]

    def _merged(self, results: Iterable[Findings]) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for probe, findings in zip(self._probes, results, strict=True):
            source = f"the probe {type(probe).__name__}"
            for name in NAMES & findings.keys():
                merged.setdefault(name, validated(name, findings[name], source, self._zone))
        return merged

    def _default(self) -> Unknown:
        """For a reading without a probe; a command that failed might have given it."""
        failures = [probe.failure for probe in self._probes if isinstance(probe, OwnerCommandProbe) and probe.failure]
        return Unknown(failures[0] if failures else "not measured here")

    def _overridden(self, readings: Readings) -> Readings:
        return overridden(readings, self._probe_file, self._zone) if self._probe_file else readings

    def _held(self) -> str:
        """First line of the hold file, or why it is unreadable; empty without one."""
        try:
            text = bytes_of(self._state_folder / HOLD, 4 * HOLD_MAX_CHARACTERS).decode(errors="replace")
            return text.split("\n", 1)[0].strip()[:HOLD_MAX_CHARACTERS] or "the hold file gives no reason"
        except FileNotFoundError:
            return ""
        except OSError as refused:
            return f"the hold file cannot be read: {refused.strerror}"
