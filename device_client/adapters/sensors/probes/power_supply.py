"""Battery and mains; batteries of a mouse or a phone do not count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from device_client.adapters.sensors.probes.base import Findings, Unread, attempt, number_of, text_of
from device_client.adapters.sensors.probes.system import sensors_battery

_CHARGING: Final = ("Charging", "Full", "Not charging")
_BATTERIES: Final = ("Battery", "UPS")


class PowerSupplyProbe:
    """psutil knows neither several batteries, nor whose they are, nor USB supplies."""

    names = ("battery_percent", "on_mains")

    def __init__(
        self, folder: Path = Path("/sys/class/power_supply"), battery: Callable[[], Any] = sensors_battery
    ) -> None:
        self._folder, self._battery = folder, battery

    def read(self) -> Findings:
        all_supplies = sorted(self._folder.iterdir()) if self._folder.is_dir() else []
        supplies = [path for path in all_supplies if _has(path, "type") and _text(path, "scope") != "Device"]
        if not supplies:
            raise Unread("this device shows no power supply")
        batteries = [path for path in supplies if _text(path, "type") in _BATTERIES and _text(path, "present") != "0"]
        sources = [path for path in supplies if _text(path, "type") not in _BATTERIES]
        visible = [path for path in all_supplies if path.name.startswith("BAT") or "battery" in path.name.lower()]
        by_psutil = self._psutil_percent() if len(batteries) == 1 and visible == batteries else None
        return {
            "battery_percent": by_psutil or attempt(lambda: _charge_percent(batteries)),
            "on_mains": attempt(lambda: _on_mains(batteries, sources)),
        }

    def _psutil_percent(self) -> float | None:
        """None when psutil raises or gives no charge; 0 may mean that, too."""
        percent = getattr(attempt(self._battery), "percent", None)
        return float(percent) if percent and 0 < percent <= 100 else None


def _charge_percent(batteries: list[Path]) -> float:
    if not batteries:
        raise Unread("this device has no battery")
    return fmean(_percent_of(battery) for battery in batteries)


def _percent_of(battery: Path) -> float:
    if _has(battery, "capacity"):
        return number_of(battery / "capacity")
    for unit in ("energy", "charge"):
        if _has(battery, f"{unit}_now") and _has(battery, f"{unit}_full") and number_of(battery / f"{unit}_full") > 0:
            return 100.0 * number_of(battery / f"{unit}_now") / number_of(battery / f"{unit}_full")
    raise Unread(f"the battery {battery.name} does not tell its charge")


def _on_mains(batteries: list[Path], sources: list[Path]) -> bool:
    """Plugs before batteries: a full one may discharge a little while plugged in."""
    if any(_text(source, "online") not in ("", "0") for source in sources):
        return True
    states = [_text(battery, "status") for battery in batteries]
    if "Discharging" in states or (sources and batteries):
        return False
    if any(state in _CHARGING for state in states):
        return True
    raise Unread("no power supply says whether it is plugged in")


def _has(supply: Path, name: str) -> bool:
    return (supply / name).exists()


def _text(supply: Path, name: str) -> str:
    return text_of(supply / name) if _has(supply, name) else ""
