"""A program of the owner's that prints readings as JSON: for whatever this package has no probe for."""

from __future__ import annotations

import json
from collections.abc import Sequence

from device_client.adapters.sensors.probes.base import Findings, Unread
from device_client.adapters.sensors.probes.run_program import output_of
from device_client.adapters.sensors.probes.validation import NAMES


class OwnerCommandProbe:
    """It speaks for what it told the last time; before it has ever answered, for nothing."""

    def __init__(self, command: Sequence[str], *, timeout_s: float) -> None:
        self._command, self._timeout_s = tuple(command), timeout_s
        self.names: tuple[str, ...] = ()
        self.failure = ""  # of the last look

    def read(self) -> Findings:
        """What it prints, by the names of Readings; other names are kept quiet about. Raises Unread."""
        try:
            told = self._told()
        except Unread as failed:
            self.failure = str(failed)
            raise
        self.failure, self.names = "", tuple(told)
        return told

    def _told(self) -> dict[str, object]:
        said = output_of(self._command, self._timeout_s)
        try:
            told = json.loads(said)
        except (ValueError, RecursionError):
            raise Unread("the probe command prints no JSON") from None
        if not isinstance(told, dict):
            raise Unread("the probe command prints no JSON object")
        return {name: value for name, value in told.items() if name in NAMES}
