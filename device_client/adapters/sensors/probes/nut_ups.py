"""An uninterruptible power supply, through `upsc` of the Network UPS Tools."""

from __future__ import annotations

from collections.abc import Sequence

from device_client.adapters.sensors.probes.base import Findings, Unread, attempt
from device_client.adapters.sensors.probes.run_program import output_of


class NutUpsProbe:
    """One supply: `ups`, `ups@host` or `ups@host:port`."""

    names = ("battery_percent", "on_mains")

    def __init__(self, ups: str, command: Sequence[str] = ("upsc",), *, timeout_s: float = 1.0) -> None:
        self._command, self._timeout_s = (*command, ups), timeout_s

    def read(self) -> Findings:
        parts = (line.partition(":") for line in output_of(self._command, self._timeout_s).splitlines())
        values = {name.strip(): value.strip() for name, colon, value in parts if colon}
        return {"battery_percent": attempt(lambda: _charge(values)), "on_mains": attempt(lambda: _on_line(values))}


def _charge(values: dict[str, str]) -> float:
    charge = values.get("battery.charge")
    if charge is None:
        raise Unread("upsc does not tell battery.charge")
    try:
        return float(charge)
    except ValueError:
        raise Unread(f"upsc says battery.charge: {charge[:40]}") from None


def _on_line(values: dict[str, str]) -> bool:
    """OL is on line, OB on battery; other words may follow."""
    words = values.get("ups.status", "").split()
    if "OB" in words or "OL" in words:
        return "OB" not in words
    raise Unread(f"upsc says ups.status: {' '.join(words)[:40]}" if words else "upsc does not tell ups.status")
