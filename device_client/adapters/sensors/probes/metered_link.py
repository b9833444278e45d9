"""Whether bytes cost money, as NetworkManager sees it: by `nmcli` for the interface, else over D-Bus as a whole.

What it guesses counts as well: GUESS_YES is metered. Tethering to a telephone is known by guessing only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from device_client.adapters.sensors.probes.base import Findings, Unread
from device_client.adapters.sensors.probes.default_route import default_interface
from device_client.adapters.sensors.probes.run_program import output_of

_NM: Final = "org.freedesktop.NetworkManager"
BUSCTL: Final = ("busctl", "--system", "get-property", _NM, "/org/freedesktop/NetworkManager", _NM, "Metered")
_BY_NUMBER: Final = {"1": True, "2": False, "3": True, "4": False}  # yes, no, GUESS_YES, GUESS_NO


class MeteredLinkProbe:
    """NetworkManager's word."""

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
        """Raises Unread where NetworkManager is not there, or does not know."""
        try:
            return {"metered": self._by_nmcli()}
        except Unread as first:
            try:
                return {"metered": self._by_dbus()}
            except Unread as second:
                raise Unread(f"{first}; {second}") from None

    def _by_nmcli(self) -> bool:
        question = ("-t", "-f", "GENERAL.METERED", "device", "show", self._interface())
        said = output_of((*self._nmcli, *question), self._timeout_s).strip().removeprefix("GENERAL.METERED:")
        word = said.split(" ", 1)[0]
        if word not in ("yes", "no"):
            raise Unread(f"nmcli says {said[:40]!r}")
        return word == "yes"

    def _by_dbus(self) -> bool:
        said = output_of(self._busctl, self._timeout_s).strip()
        metered = _BY_NUMBER.get(said.removeprefix("u "))
        if metered is None:
            raise Unread(f"NetworkManager says {said[:40]!r}")
        return metered
