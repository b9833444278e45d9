"""Publishes the status and the wants of one model, and writes its outcomes."""

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
PROGRESS_PAUSE_S: Final = 1.0  # a small model is fetched in less: no need of ten messages
MOVED_BY: Final = timedelta(minutes=1)
_NO_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)


class StatusPublisher:
    """`due_s`: when postponed progress is due, on the monotonic clock."""

    def __init__(self, device: str, model: str, topics: Topics, output: LinkOutput, clock: Clock) -> None:
        self._device, self._model = device, model
        self._topics, self._output, self._clock = topics, output, clock
        self._last: Status | None = None
        self._last_at_s = 0.0
        self.due_s: float | None = None

    def forget(self) -> None:
        """Publish the next status even if unchanged: the last one may be lost."""
        self._last = None
        self.due_s = None

    def publish(self, status: Status) -> None:
        """Publish a status that differs; progress in steps, at most once a second."""
        now_s = self._clock.monotonic_s()
        self.due_s = None
        if self._last is not None:
            if _differ_by_little(status, self._last):
                return
            if _differ_by_progress(status, self._last) and now_s < self._last_at_s + PROGRESS_PAUSE_S:
                self.due_s = self._last_at_s + PROGRESS_PAUSE_S
                return
        self._last, self._last_at_s = status, now_s
        self._output.publish(self._topic(Kind.STATUS), status.to_line(), True)

    def publish_wants(self, sha256s: tuple[str, ...]) -> None:
        """Ask the publisher for chunks that the broker does not have."""
        wants = Wants(chunks=sha256s, device=self._device, model=self._model)
        self._output.publish(self._topic(Kind.WANTS), wants.to_line(), False)

    def outcome(self, effect: Announce) -> OutboxEntry:
        """The outbox entry of an outcome; repeating the effect gives the same id."""
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


def _differ_by_little(new: Status, last: Status) -> bool:
    """Whether only the time or a little progress is new: not worth a message."""
    before, after = last.update_percentage, new.update_percentage
    if before is not None and after is not None and 0 <= after - before < PROGRESS_STEP_PERCENT and after < 100:
        return _differ_by_progress(new, last)
    return before == after and _differ_by_progress(new, last)


def _differ_by_progress(new: Status, last: Status) -> bool:
    """Whether nothing but the time and the progress is new."""
    if new.next_check is None or last.next_check is None:
        if new.next_check is not last.next_check:
            return False
    elif last.next_check < new.at or abs(new.next_check - last.next_check) >= MOVED_BY:
        return False  # it is past, the clock was set, or the interval of checks has changed
    passing = {"at": _NO_TIME, "next_check": None, "update_percentage": None}
    return new.model_copy(update=passing) == last.model_copy(update=passing)
