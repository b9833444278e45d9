"""The journal: what must survive a power cut."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from device_client.core.outbox_entry import OutboxEntry


class Journal(Protocol):
    """Durable storage. A method that writes returns once the data is on disk."""

    def load(self, model: str) -> bytes | None:
        """The state that `save` last stored for the model; None before the first."""

    def trusted(self, model: str) -> dict[str, bytes]:
        """The metadata that was last accepted, by name."""

    def save(
        self,
        model: str,
        state_json: bytes,
        outbox: Sequence[OutboxEntry] = (),
        trusted: Mapping[str, bytes] | None = None,
    ) -> None:
        """Store all of this in one transaction. Raises NoRoom or another FerryError."""

    def save_log_entry(self, model: str, entry: bytes) -> None:
        """Replace the model's log entry. Raises NoRoom or another FerryError."""

    def load_log_entry(self, model: str) -> bytes | None:
        """The model's log entry; None before the first."""

    def enqueue(self, entries: Sequence[OutboxEntry], drift_states: Mapping[str, bytes] | None = None) -> None:
        """Put reports in the outbox, unless known by id; `drift_states` is by model."""

    def waiting(self) -> list[OutboxEntry]:
        """The reports that no broker has acknowledged, oldest first."""

    def mark_sent(self, event_ids: Collection[str]) -> frozenset[str]:
        """Mark reports as sent, so that they are never merged; return those found."""

    def delivered(self, event_id: str) -> None:
        """Remove a report that the broker has acknowledged."""
