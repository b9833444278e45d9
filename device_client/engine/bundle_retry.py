"""The one bundle that was refused for what passes, and when it is looked at again: nobody sends it a second time.

A full temporary folder and a wrong clock speak against this device, not the bundle. Verifies nothing.
"""

from __future__ import annotations

import logging
from typing import Final

from device_client.ports.context import Clock
from protocol.errors import BundleExpired, FerryError, NoRoom, Untrusted

PASSING_S: Final[dict[type[FerryError], float]] = {NoRoom: 10.0, BundleExpired: 60.0}
"""Refusals that time may lift, room that is made or a clock that is set; seconds between two looks."""

log = logging.getLogger(__name__)


class BundleRetry:
    """Of one model. Holds no more than one bundle, the last one that was refused so."""

    def __init__(self, model: str, clock: Clock) -> None:
        self._model, self._clock = model, clock
        self._bundle = b""
        self._told = ""
        self.due_s: float | None = None

    def refused(self, bundle: bytes, why: Untrusted | NoRoom) -> str:
        """Keep it, if there is a point in that; what the status says, and the log once."""
        told = str(why)[:330]
        pause_s = next((each_s for kind, each_s in PASSING_S.items() if isinstance(why, kind)), None)
        if pause_s is not None:
            told += f"; it is looked at again every {pause_s:.0f} s"
            self._bundle, self.due_s = bundle, self._clock.monotonic_s() + pause_s
        if told != self._told:
            log.warning("%s: bundle refused: %s", self._model, told)
        self._told = told
        return told

    def taken(self) -> None:
        """A bundle was believed: an earlier one is of no use any more."""
        self._bundle, self._told, self.due_s = b"", "", None

    def due(self) -> bytes:
        """The bundle, when its time has come; nothing else. What comes of it is told by `refused` or `taken`."""
        return self._bundle if self.due_s is not None and self._clock.monotonic_s() >= self.due_s else b""
