"""The strength of the Wi-Fi signal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from device_client.adapters.sensors.probes.base import Findings, Unread, text_of
from device_client.adapters.sensors.probes.default_route import default_interface

_UNSIGNED: Final = 256  # some drivers give the level as an unsigned byte


class WifiSignalProbe:
    names = ("wifi_signal_dbm",)

    def __init__(
        self, table: Path = Path("/proc/net/wireless"), *, interface: Callable[[], str] = default_interface
    ) -> None:
        self._table, self._interface = table, interface

    def read(self) -> Findings:
        """Raises Unread when the link is not Wi-Fi."""
        if not self._table.exists():
            raise Unread("this device has no Wi-Fi")
        interface = self._interface()
        for line in text_of(self._table).splitlines():
            name, colon, rest = line.strip().partition(":")
            if colon and name == interface:
                return {"wifi_signal_dbm": _level(rest.split())}
        raise Unread(f"{interface} is not Wi-Fi")


def _level(columns: list[str]) -> float:
    try:
        level = float(columns[2])
    except (IndexError, ValueError):
        raise Unread("the kernel's table of Wi-Fi shows no level") from None
    return level - _UNSIGNED if level > 0 else level
