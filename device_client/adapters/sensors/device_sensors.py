"""One look at the device: every probe asked at once, the first that speaks for a reading heard. Decides nothing.

Never raises, and takes no longer than its time: what cannot be read or believed is Unknown with the reason. A probe
file overrides single readings; `hold` in the state folder is the application's own way to say "not now".
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
from device_client.adapters.sensors.probes.validation import NAMES, PLAIN, believed
from device_client.adapters.sensors.timed_probe import TimedProbe
from device_client.core.conditions.readings import Readings, Unknown
from device_client.paths import HOLD

HOLD_MAX_CHARACTERS: Final = 200
_NOT_MEASURED: Final = Unknown("not measured here")


class DeviceSensors:
    """The Sensors port on a real device. Any thread may look."""

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
        """`probes`: instead of those that `sources` names. `zone`: instead of the system's."""
        sources = sources or ProbeSettings()
        self._state_folder = state_folder
        self._probe_file = probe_file
        self._zone = zone or system_zone()
        self._timeout_s = sources.timeout_s
        self._clock_s, self._wall = clock_s, wall
        self._probes = list(sources.probes(state_folder) if probes is None else probes)
        self._patients = [TimedProbe(probe, clock_s) for probe in self._probes]

    def read(self) -> Readings:
        """Take every reading; never raises, never blocks for longer than the probes are given."""
        found = self._heard(self._answers())
        told: dict[str, Any] = {"held": _held(self._state_folder / HOLD)} | {
            "clock_synchronised": attempt(synchronised),
            "local_time": believed("local_time", self._wall(self._zone), "the system", self._zone),
        }
        found["held"] = told["held"] or found.get("held", "")  # two may hold; neither lets go for the other
        readings = Readings(**(dict.fromkeys(PLAIN, self._why_not()) | told | found))
        return self._overridden(readings)

    def hold_reason(self) -> str:
        """The application's own hold, or the probe file's; no other probe is asked."""
        held = _held(self._state_folder / HOLD)
        return held or self._overridden(Readings()).held

    def clock_synchronised(self) -> bool | Unknown:
        """Whether the kernel believes its clock; the probe file is heard on this too."""
        return self._overridden(Readings(clock_synchronised=attempt(synchronised))).clock_synchronised

    def _answers(self) -> list[Findings]:
        """What each probe says. The processor comes first: the programs of the others would be its load."""
        until_s = self._clock_s() + self._timeout_s
        answers: dict[int, Findings] = {}
        alone = [isinstance(probe, CpuProbe) for probe in self._probes]
        for first in (True, False):
            wave = [at for at, is_alone in enumerate(alone) if is_alone is first]
            for at in wave:
                self._patients[at].ask()
            answers |= {at: self._patients[at].answer(until_s) for at in wave}
        return [answers[at] for at in range(len(self._probes))]

    def _heard(self, answers: Iterable[Findings]) -> dict[str, Any]:
        heard: dict[str, Any] = {}
        for probe, findings in zip(self._probes, answers, strict=True):
            source = f"the probe {type(probe).__name__}"
            for name in NAMES & findings.keys():
                heard.setdefault(name, believed(name, findings[name], source, self._zone))
        return heard

    def _why_not(self) -> Unknown:
        """Why a reading that nobody speaks for is missing; a command that fails might have been the one to speak."""
        failures = [probe.failure for probe in self._probes if isinstance(probe, OwnerCommandProbe) and probe.failure]
        return Unknown(failures[0]) if failures else _NOT_MEASURED

    def _overridden(self, readings: Readings) -> Readings:
        return overridden(readings, self._probe_file, self._zone) if self._probe_file else readings


def _held(path: Path) -> str:
    """The first line of the hold file, or why it holds although it cannot be read; empty when there is none."""
    try:
        said = bytes_of(path, 4 * HOLD_MAX_CHARACTERS).decode(errors="replace")
        return said.split("\n", 1)[0].strip()[:HOLD_MAX_CHARACTERS] or "the hold file gives no reason"
    except FileNotFoundError:
        return ""
    except OSError as refused:
        return f"the hold file cannot be read: {refused.strerror}"
