"""A program of the owner's that prints readings as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from device_client.adapters.sensors.probes.base import Findings, Unread
from device_client.adapters.sensors.probes.run_program import output_of
from device_client.adapters.sensors.probes.validation import NAMES


class OwnerCommandProbe:
    """Provides the readings of its last successful run; none before that."""

    def __init__(self, command: Sequence[str], *, timeout_s: float) -> None:
        self._command, self._timeout_s = tuple(command), timeout_s
        self.names: tuple[str, ...] = ()
        self.failure = ""  # of the last run

    def read(self) -> Findings:
        """The readings that it prints; unknown names are ignored. Raises Unread."""
        try:
            readings = self._run()
        except Unread as failed:
            self.failure = str(failed)
            raise
        self.failure, self.names = "", tuple(readings)
        return readings

    def _run(self) -> dict[str, object]:
        output = output_of(self._command, self._timeout_s)
        try:
            readings = json.loads(output)
        except (ValueError, RecursionError):
            raise Unread("the probe command prints no JSON") from None
        if not isinstance(readings, dict):
            raise Unread("the probe command prints no JSON object")
        return {name: value for name, value in readings.items() if name in NAMES}
