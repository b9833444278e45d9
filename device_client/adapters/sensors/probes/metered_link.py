"""Whether NetworkManager takes the link for metered: by `nmcli`, else over D-Bus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from device_client.adapters.sensors.probes.base import Findings, Unread
from device_client.adapters.sensors.probes.default_route import default_interface
from device_client.adapters.sensors.probes.run_program import output_of

_NM: Final = "org.freedesktop.NetworkManager"
BUSCTL: Final = ("busctl", "--system", "get-property", _NM, "/org/freedesktop/NetworkManager", _NM, "Metered")
_BY_NUMBER: Final = {
    "1": True,
    "2": False,
    "3": True,
    "4": False,
}  # yes, no, GUESS_YES, GUESS_NO; a tether is only guessed


class MeteredLinkProbe:
    names = ("metered",)

    def __init__(
        self,
        nmcli: Sequence[str] = ("nmcli",),
        busctl: Sequence[str] = BUSCTL,
        *,
        interface: Callable[[], str] = default_interface,
        timeout_s: float = 1.0,
    ) -> None:
        self._nmcli, self._busctl = tuple(nmcli), tuple(busctl)
        self._interface, self._timeout_s = interface, timeout_s

    def read(self) -> Findings:
        """Raises Unread when NetworkManager is not installed, or does not know."""
        try:
            return {"metered": self._by_nmcli()}
        except Unread as first:
            try:
                return {"metered": self._by_dbus()}
            except Unread as second:
                raise Unread(f"{first}; {second}") from None

    def _by_nmcli(self) -> bool:
        arguments = ("-t", "-f", "GENERAL.METERED", "device", "show", self._interface())
        output = output_of((*self._nmcli, *arguments), self._timeout_s).strip().removeprefix("GENERAL.METERED:")
        word = output.split(" ", 1)[0]
        if word not in ("yes", "no"):
            raise Unread(f"nmcli says {output[:40]!r}")
        return word == "yes"

    def _by_dbus(self) -> bool:
        output = output_of(self._busctl, self._timeout_s).strip()
        metered = _BY_NUMBER.get(output.removeprefix("u "))
        if metered is None:
            raise Unread(f"NetworkManager says {output[:40]!r}")
        return metered
