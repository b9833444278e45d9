"""Battery and mains as the kernel shows them. Batteries of a mouse or a phone are not the device's."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Final

from device_client.adapters.sensors.probes.base import Findings, Unread, attempt, number_of, text_of

_CHARGING: Final = ("Charging", "Full", "Not charging")
_NOTHING: Final = "this device shows no power supply"


class PowerSupplyProbe:
    """The supplies in one folder, each a folder of small files."""

    names = ("battery_percent", "on_mains")

    def __init__(self, folder: Path = Path("/sys/class/power_supply")) -> None:
        self._folder = folder

    def read(self) -> Findings:
        """Charge and mains. Raises Unread when there is nothing to be seen."""
        supplies = [path for path in self._supplies() if _has(path, "type") and _said(path, "scope") != "Device"]
        if not supplies:
            raise Unread(_NOTHING)
        batteries = [path for path in supplies if _said(path, "type") in ("Battery", "UPS")]
        batteries = [path for path in batteries if _said(path, "present") != "0"]
        sources = [path for path in supplies if _said(path, "type") not in ("Battery", "UPS")]
        return {
            "battery_percent": attempt(lambda: _charge_percent(batteries)),
            "on_mains": attempt(lambda: _on_mains(batteries, sources)),
        }

    def _supplies(self) -> list[Path]:
        return sorted(self._folder.iterdir()) if self._folder.is_dir() else []


def _charge_percent(batteries: list[Path]) -> float:
    if not batteries:
        raise Unread("this device has no battery")
    return fmean(_percent_of(battery) for battery in batteries)


def _percent_of(battery: Path) -> float:
    if _has(battery, "capacity"):
        return number_of(battery / "capacity")
    for what in ("energy", "charge"):
        if _has(battery, f"{what}_now") and _has(battery, f"{what}_full") and number_of(battery / f"{what}_full") > 0:
            return 100.0 * number_of(battery / f"{what}_now") / number_of(battery / f"{what}_full")
    raise Unread(f"the battery {battery.name} does not tell its charge")


def _on_mains(batteries: list[Path], sources: list[Path]) -> bool:
    """What plugs say goes over what batteries say: a full one may discharge a little while it is plugged in."""
    if any(_said(source, "online") not in ("", "0") for source in sources):
        return True
    states = [_said(battery, "status") for battery in batteries]
    if "Discharging" in states or (sources and batteries):
        return False
    if any(state in _CHARGING for state in states):
        return True
    raise Unread("no power supply says whether it is plugged in")


def _has(supply: Path, name: str) -> bool:
    return (supply / name).exists()


def _said(supply: Path, name: str) -> str:
    """What a file says; nothing when it is not there."""
    return text_of(supply / name) if _has(supply, name) else ""
