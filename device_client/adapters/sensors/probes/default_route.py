"""The interface of the default route, and its kind; psutil knows neither."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from device_client.adapters.sensors.probes.base import Findings, Unread, text_of
from device_client.core.conditions.readings import LinkKind

_ROUTES: Final = Path("/proc/net/route")
_ROUTES_6: Final = Path("/proc/net/ipv6_route")
_UP: Final = 0x1
_GATEWAY: Final = 0x2


class DefaultRouteProbe:
    names = ("link_kind",)

    def __init__(
        self, interfaces: Path = Path("/sys/class/net"), routes: Path = _ROUTES, routes_6: Path = _ROUTES_6
    ) -> None:
        self._interfaces, self._routes, self._routes_6 = interfaces, routes, routes_6

    def read(self) -> Findings:
        """Raises Unread when there is no default route."""
        return {"link_kind": self._kind(default_interface(self._routes, self._routes_6))}

    def _kind(self, interface: str) -> LinkKind:
        folder = self._interfaces / interface
        if (folder / "wireless").exists() or (folder / "phy80211").exists():
            return "wifi"
        if interface.startswith(("wwan", "ppp", "rmnet", "usb")):
            return "cellular"
        if (folder / "device").exists() and text_of(folder / "type") == "1":
            return "ethernet"
        return "ethernet" if interface.startswith(("eth", "en")) else "other"


def default_interface(routes: Path = _ROUTES, routes_6: Path = _ROUTES_6) -> str:
    """That with the lowest metric, of IPv6 if there is none of IPv4. Raises Unread."""
    found = _ipv4_routes(routes) or _ipv6_routes(routes_6)
    if not found:
        raise Unread("there is no default route")
    return min(found)[1]


def _ipv4_routes(routes: Path) -> list[tuple[int, str]]:
    rows = [line.split() for line in text_of(routes).splitlines()[1:]]
    rows = [row for row in rows if len(row) >= 8 and row[1] == row[7] == "00000000" and int(row[3], 16) & _UP]
    return [(int(row[6]), row[0]) for row in rows]


def _ipv6_routes(routes: Path) -> list[tuple[int, str]]:
    if not routes.exists():
        return []
    rows = [line.split() for line in text_of(routes).splitlines()]
    rows = [row for row in rows if len(row) >= 10 and row[0] == "0" * 32 and row[1] == "00" and row[9] != "lo"]
    return [(int(row[5], 16), row[9]) for row in rows if int(row[8], 16) & _UP and int(row[8], 16) & _GATEWAY]
