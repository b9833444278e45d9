"""Keeps and retries bundles refused for a passing reason; brokers do not resend it."""

from __future__ import annotations

import logging
from typing import Final

from device_client.ports.context import Clock
from protocol.errors import BundleExpired, FerryError, NoRoom, Untrusted

RETRY_S: Final[dict[type[FerryError], float]] = {NoRoom: 10.0, BundleExpired: 60.0}
"""Errors that may pass by themselves, and the interval of retries."""
REASON_MAX: Final = 330  # characters: the status has 500, and the rest of its reason follows

log = logging.getLogger(__name__)


class BundleRetry:
    """Holds at most one bundle of a model, the last one rejected for such a reason."""

    def __init__(self, model: str, clock: Clock) -> None:
        self._model, self._clock = model, clock
        self._bundle = b""
        self._logged = ""
        self.due_s: float | None = None

    def rejected(self, bundle: bytes, error: Untrusted | NoRoom) -> str:
        """Keep the bundle if a retry may help; return the reason for the status."""
        reason = str(error)[:REASON_MAX]
        retry_s = next((seconds for kind, seconds in RETRY_S.items() if isinstance(error, kind)), None)
        if retry_s is not None:
            reason += f"; it is looked at again every {retry_s:.0f} s"
            self._bundle, self.due_s = bundle, self._clock.monotonic_s() + retry_s
        if reason != self._logged:
            log.warning("%s: bundle refused: %s", self._model, reason)
        self._logged = reason
        return reason

    def clear(self) -> None:
        """A bundle was accepted, which replaces any earlier one."""
        self._bundle, self._logged, self.due_s = b"", "", None

    def due(self) -> bytes:
        """The bundle when it is time to retry it, else nothing."""
        return self._bundle if self.due_s is not None and self._clock.monotonic_s() >= self.due_s else b""
