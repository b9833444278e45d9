"""The device's sensors, read at once."""

from __future__ import annotations

from typing import Protocol

from device_client.core.conditions.readings import Readings


class Sensors(Protocol):
    """Never raises."""

    def read(self) -> Readings:
        """Take every reading; blocks for a moment at most."""

    def hold_reason(self) -> str:
        """Why the application holds updates, or empty. Cheap: called at every tally."""
