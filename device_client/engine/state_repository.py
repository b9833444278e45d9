"""What one engine remembers through its journal: the device, the trusted metadata, outcomes for the outbox.

Writes only what is new: a device's flash wears out. Decides nothing about what cannot be written; it raises.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from device_client.core.outbox_entry import OutboxEntry
from device_client.core.state import Device
from device_client.ports.journal import Journal
from protocol.messages.base import first_complaint

log = logging.getLogger(__name__)


class StateRepository:
    """Of one model."""

    def __init__(self, model: str, journal: Journal) -> None:
        self._model, self._journal = model, journal
        self._device = Device()
        self.trusted: Mapping[str, bytes] = {}

    def load(self) -> Device:
        """The device as it was saved. One that cannot be read, of a newer client perhaps, begins anew: none may die."""
        self.trusted = self._journal.trusted(self._model)
        remembered = self._journal.load(self._model)
        if remembered is not None:
            try:
                self._device = Device.model_validate_json(remembered)
            except ValidationError as strange:
                complaint = first_complaint(strange)
                log.error("%s: what was remembered cannot be read, beginning anew: %s", self._model, complaint)
        return self._device

    def save(self, device: Device, outcomes: Sequence[OutboxEntry], trusted: Mapping[str, bytes] | None) -> None:
        """Remember all of it, or none. Raises NoRoom or another FerryError."""
        news = trusted if trusted != self.trusted else None  # the same bundle comes at every connection
        if device == self._device and not outcomes and news is None:
            return
        self._journal.save(self._model, device.model_dump_json().encode(), outcomes, news)
        self._device = device
        self.trusted = news if news is not None else self.trusted
