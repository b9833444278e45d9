"""Loads and saves the state of one model; only what changed, to spare flash memory."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from device_client.core.outbox_entry import OutboxEntry
from device_client.core.state import Device
from device_client.ports.journal import Journal
from protocol.messages.base import first_error

log = logging.getLogger(__name__)


class StateRepository:
    """`trusted`: the metadata that was last accepted."""

    def __init__(self, model: str, journal: Journal) -> None:
        self._model, self._journal = model, journal
        self._device = Device()
        self.trusted: Mapping[str, bytes] = {}

    def load(self) -> Device:
        """The saved device, or a fresh one if that cannot be read."""
        self.trusted = self._journal.trusted(self._model)
        saved = self._journal.load(self._model)
        if saved is not None:
            try:
                self._device = Device.model_validate_json(saved)
            except ValidationError as invalid:
                # a newer client may have written it; starting over beats not starting
                complaint = first_error(invalid)
                log.error("%s: the saved state cannot be read, starting over: %s", self._model, complaint)
        return self._device

    def save(self, device: Device, outcomes: Sequence[OutboxEntry], trusted: Mapping[str, bytes] | None) -> None:
        """Save all of it in one transaction. Raises NoRoom or another FerryError."""
        new = trusted if trusted != self.trusted else None  # every connection brings the same bundle
        if device == self._device and not outcomes and new is None:
            return
        self._journal.save(self._model, device.model_dump_json().encode(), outcomes, new)
        self._device = device
        self.trusted = new if new is not None else self.trusted
