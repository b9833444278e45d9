"""What one model's engine says: its status when it differs, what it wants, and how it puts an outcome.

Says; keeps nothing but the last status, so that nothing is said twice. Outcomes go through the journal's outbox.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final

from device_client.core.effects import Announce
from device_client.core.outbox_entry import OutboxEntry
from device_client.ports.context import Clock, LinkOutput
from protocol.messages.device import Outcome, Status, Wants
from protocol.topics import Kind, Topics

PROGRESS_STEP_PERCENT: Final = 10.0
PROGRESS_PAUSE_S: Final = 1.0  # a small model is fetched in less: ten messages about that would help nobody
MOVED_BY: Final = timedelta(minutes=1)
_NO_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)


class StatusPublisher:
    """The voice of one model on one device."""

    def __init__(self, device: str, model: str, topics: Topics, output: LinkOutput, clock: Clock) -> None:
        self._device, self._model = device, model
        self._topics, self._output, self._clock = topics, output, clock
        self._said: Status | None = None
        self._said_at_s = 0.0
        self.due_s: float | None = None  # when progress that had to wait is told

    def forget(self) -> None:
        """Whatever was said, nobody may have heard it: the next status is told."""
        self._said = None
        self.due_s = None

    def tell(self, status: Status) -> None:
        """Publish the status when it differs from what was said last; progress in steps, and once a second."""
        now_s = self._clock.monotonic_s()
        self.due_s = None
        if self._said is not None:
            if _differ_by_little(status, self._said):
                return
            if _differ_by_progress(status, self._said) and now_s < self._said_at_s + PROGRESS_PAUSE_S:
                self.due_s = self._said_at_s + PROGRESS_PAUSE_S
                return
        self._said, self._said_at_s = status, now_s
        self._output.publish(self._topic(Kind.STATUS), status.to_line(), True)

    def want(self, sha256s: tuple[str, ...]) -> None:
        """Tell whoever serves what the broker does not have."""
        wants = Wants(chunks=sha256s, device=self._device, model=self._model)
        self._output.publish(self._topic(Kind.WANTS), wants.to_line(), False)

    def outcome(self, effect: Announce) -> OutboxEntry:
        """A final outcome, under an id that is the same however often it is put."""
        name = f"{self._device}\0{self._model}\0{effect.version}\0{effect.attempt}\0{effect.plan_sequence}"
        name += f"\0{effect.variant}\0{effect.refit}" if effect.refit else ""
        event_id = hashlib.sha256(f"{name}\0{effect.outcome}".encode()).hexdigest()[:20]
        at = self._clock.utc()
        outcome = Outcome(
            outcome=effect.outcome,
            version=effect.version,
            from_version=effect.from_version,
            reason=effect.reason,
            device=self._device,
            model=self._model,
            variant=effect.variant,
            event_id=event_id,
            plan_sequence=effect.plan_sequence,
            attempt=effect.attempt,
            evidence=effect.evidence,
            at=at,
        )
        return OutboxEntry(event_id, self._topic(Kind.EVENT), outcome.to_line(), at.timestamp(), "event")

    def _topic(self, kind: Kind) -> str:
        return self._topics.of_device(kind, self._device, self._model)


def _differ_by_little(new: Status, said: Status) -> bool:
    """Whether the difference is not worth a message: the time, or a little progress."""
    before, after = said.update_percentage, new.update_percentage
    if before is not None and after is not None and 0 <= after - before < PROGRESS_STEP_PERCENT and after < 100:
        return _differ_by_progress(new, said)
    return before == after and _differ_by_progress(new, said)


def _differ_by_progress(new: Status, said: Status) -> bool:
    """Whether nothing but the time and the progress is new."""
    if (new.next_check is None) != (said.next_check is None):
        return False
    if said.next_check is not None and said.next_check < new.at:
        return False  # what was promised is past
    if new.next_check and said.next_check and abs(new.next_check - said.next_check) >= MOVED_BY:
        return False  # a clock was set, or the device is in more or less of a hurry
    passing = {"at": _NO_TIME, "next_check": None, "update_percentage": None}
    return new.model_copy(update=passing) == said.model_copy(update=passing)
