"""One look at the device: psutil where it is installed, the kernel for the rest. Decides nothing, never raises.

What cannot be read is Unknown with the reason. A probe file (JSON, named after the fields of Readings) overrides single
readings, for tests and demonstrations; `hold` in the state folder is the application's own way to say "not now".
"""

from __future__ import annotations

import ctypes
import shutil
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar

from device_client.adapters.probe_file import overridden
from device_client.core.readings import LinkKind, Readings, Unknown

HOLD_FILE: Final = "hold"
HOLD_MAX_CHARACTERS: Final = 200
_SYNCHRONISED: Final = Path("/run/systemd/timesync/synchronized")
_PROCESSORS: Final = Path("/proc/stat")
_ROUTES: Final = Path("/proc/net/route")
_INTERFACES: Final = Path("/sys/class/net")
_SUPPLIES: Final = Path("/sys/class/power_supply")
_ZONES: Final = Path("/sys/class/thermal")
_CPU_SENSORS: Final = ("cpu_thermal", "coretemp", "k10temp", "soc_thermal", "cpu-thermal")
_TIMEX_BYTES: Final = 512  # struct timex has 208 or fewer; all zero asks without changing anything
_TIME_ERROR: Final = 5  # what adjtimex answers while nobody has set the clock
_ROUTE_UP: Final = 0x1
CPU_LOOK_OLD_S: Final = 10.0  # an average over longer says little of now
CPU_SAMPLE_S: Final = 0.1
T = TypeVar("T")


class DeviceSensors:
    """The Sensors port on a real device. Any thread may look.

    The CPU load is the average since the look before, or of a tenth of a second when that is long ago.
    """

    def __init__(
        self,
        state_folder: Path,
        probe_file: Path | None = None,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._state_folder = state_folder
        self._probe_file = probe_file
        self._clock_s = clock_s
        self._pause = pause
        self._cpu: tuple[int, int] | Unknown = _try(_cpu_ticks)
        self._looked_at_s = clock_s()

    def read(self) -> Readings:
        """Take every reading; never raises, never blocks for more than a moment."""
        readings = Readings(
            cpu_percent=self._cpu_percent(),
            memory_free_bytes=_try(_memory_free_bytes),
            disk_free_bytes=_try(partial(_disk_free_bytes, self._state_folder)),
            temperature_c=_try(_temperature_c),
            battery_percent=_try(_battery_percent),
            on_mains=_try(_on_mains),
            link_kind=_try(_link_kind),
            metered=Unknown("nobody has said whether the link is metered"),
            round_trip_ms=Unknown("not measured here"),
            clock_synchronised=_try(_clock_synchronised),
            local_time=datetime.now().astimezone(),
            held=_held(self._state_folder / HOLD_FILE),
        )
        return readings if self._probe_file is None else overridden(readings, self._probe_file)

    def clock_synchronised(self) -> bool | Unknown:
        """Whether the kernel believes its clock; the probe file is heard on this too."""
        told = Readings(clock_synchronised=_try(_clock_synchronised))
        return overridden(told, self._probe_file).clock_synchronised if self._probe_file else told.clock_synchronised

    def _cpu_percent(self) -> float | Unknown:
        """Our own sum, for psutil's begins anew in each thread."""
        before = self._cpu
        if self._clock_s() - self._looked_at_s > CPU_LOOK_OLD_S:
            before = _try(_cpu_ticks)
            self._pause(CPU_SAMPLE_S)
        now = _try(_cpu_ticks)
        self._cpu, self._looked_at_s = now, self._clock_s()
        if isinstance(before, Unknown) or isinstance(now, Unknown):
            return now if isinstance(now, Unknown) else Unknown("there was no look before this one")
        total = now[1] - before[1]
        return round(100.0 * (now[0] - before[0]) / total, 1) if total > 0 else Unknown("no time has passed to measure")


class _Unread(Exception):
    """A reading that could not be taken; the text is for the operator."""


def _try(read: Callable[[], T]) -> T | Unknown:
    try:
        return read()
    except _Unread as unread:
        return Unknown(str(unread))
    except Exception as failure:  # noqa: BLE001 - sensors fail in all sorts of ways; the device goes on
        return Unknown(f"{type(failure).__name__}: {failure}"[:200])


def _psutil() -> ModuleType:
    try:
        import psutil  # not at the top: a device without it reads what it can
    except ImportError:
        raise _Unread("psutil is not installed") from None
    return psutil


def _cpu_ticks() -> tuple[int, int]:
    """Busy and total ticks of all processors since boot."""
    user, nice, system, idle, wait, *rest = (
        int(field) for field in _PROCESSORS.read_text().split("\n", 1)[0].split()[1:8]
    )
    busy = user + nice + system + sum(rest)
    return busy, busy + idle + wait


def _memory_free_bytes() -> int:
    return int(_psutil().virtual_memory().available)


def _disk_free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _temperature_c() -> float:
    for zone in sorted(_ZONES.glob("thermal_zone*/temp")):
        return int(zone.read_text()) / 1000  # the first is the processor's on a Pi
    sensors = _psutil().sensors_temperatures()
    for name in (*_CPU_SENSORS, *sensors):
        if sensors.get(name):
            return float(sensors[name][0].current)
    raise _Unread("this device shows no temperature sensor")


def _battery() -> Any:
    if not _SUPPLIES.is_dir():  # psutil's reader raises there
        raise _Unread("this device shows no power supply")
    battery = _psutil().sensors_battery()
    if battery is None:
        raise _Unread("this device has no battery")
    return battery


def _battery_percent() -> float:
    return float(_battery().percent)


def _on_mains() -> bool:
    """A device without a battery runs on mains, or it would not run; but only where the system shows its supplies."""
    if _SUPPLIES.is_dir() and not any(_SUPPLIES.iterdir()):
        raise _Unread("this device shows no power supply")
    plugged = _battery().power_plugged
    if plugged is None:
        raise _Unread("the battery does not say whether it is plugged in")
    return bool(plugged)


def _link_kind() -> LinkKind:
    interface = _default_interface()
    folder = _INTERFACES / interface
    if (folder / "wireless").exists() or (folder / "phy80211").exists():
        return "wifi"
    if interface.startswith(("wwan", "ppp", "rmnet", "usb")):
        return "cellular"
    if (folder / "type").read_text().strip() == "1" and (folder / "device").exists():
        return "ethernet"
    return "ethernet" if interface.startswith(("eth", "en")) else "other"


def _default_interface() -> str:
    """The interface of the default route with the lowest metric (IPv4)."""
    rows = [line.split() for line in _ROUTES.read_text().splitlines()[1:]]
    routes = [(int(row[6]), row[0]) for row in rows if row[1] == row[7] == "00000000" and int(row[3], 16) & _ROUTE_UP]
    if not routes:
        raise _Unread("there is no default route")
    return min(routes)[1]


def _clock_synchronised() -> bool:
    if _SYNCHRONISED.exists():
        return True
    answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if answer < 0:
        raise _Unread(f"the kernel does not say: adjtimex failed with error {ctypes.get_errno()}")
    return bool(answer != _TIME_ERROR)


def _held(path: Path) -> str:
    """The first line of the hold file, or why it holds although it cannot be read; empty when there is none."""
    try:
        with path.open(errors="replace") as hold:
            return hold.readline(HOLD_MAX_CHARACTERS).strip() or "the hold file gives no reason"
    except FileNotFoundError:
        return ""
    except OSError as refused:
        return f"the hold file cannot be read: {refused.strerror}"
