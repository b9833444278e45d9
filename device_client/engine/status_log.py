"""The status log: what `device-client why` reads in the journal beside the state.

Informative only: nothing is decided by it, and a full disk merely costs the entry.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

from pydantic import ValidationError

from device_client.core.conditions.readings import Unknown
from device_client.core.log_entry import LogEntry
from device_client.core.state import Moment
from device_client.ports.context import Clock
from device_client.ports.journal import Journal
from protocol.errors import FerryError
from protocol.messages.device import Status

log = logging.getLogger(__name__)

WRITE_PAUSE_S: Final = 60.0  # between writes of readings and times; spares flash memory
OVERDUE: Final = timedelta(minutes=5)  # after this, a new time for the next check is written
LASTING: Final = tuple(name for name in Status.model_fields if name not in {"at", "next_check", "update_percentage"})
URGENT: Final = ("state", "installed_version", "variant", "latest_version", "plan_sequence")


class StatusLog:
    """`due_s`: when a postponed write is due, on the monotonic clock."""

    def __init__(self, model: str, journal: Journal, clock: Clock) -> None:
        self._model, self._journal, self._clock = model, journal, clock
        self._written: LogEntry | None = None
        self._written_at_s = 0.0
        self.due_s: float | None = None

    def load(self) -> None:
        self._written = read_entry(self._journal.load_log_entry(self._model))

    def keep(self, status: Status, moment: Moment) -> None:
        """Write rare changes at once, frequent ones once a minute."""
        now_s, before = self._clock.monotonic_s(), self._written
        self.due_s = None
        if before is not None and not _differ(status, moment, before):
            return
        entry = next_entry(before, status, moment)
        if before is not None and not _is_urgent(entry, before) and now_s < self._written_at_s + WRITE_PAUSE_S:
            self.due_s = self._written_at_s + WRITE_PAUSE_S
            return
        self._written, self._written_at_s = entry, now_s
        try:
            self._journal.save_log_entry(self._model, entry.model_dump_json(exclude_none=True).encode())
        except (FerryError, OSError) as failed:
            log.warning("%s: the status log was not written: %s", self._model, failed)


def read_entry(line: bytes | None) -> LogEntry | None:
    """Parse an entry; None also for one in the format of another version."""
    try:
        return None if line is None else LogEntry.model_validate_json(line)
    except ValidationError:
        return None


def next_entry(before: LogEntry | None, status: Status, moment: Moment) -> LogEntry:
    """The entry after `before`, dated by `status.at`; a first one has no `since`."""
    now, readings = status.at, moment.seen.readings
    was = before or LogEntry(status=status, link_up=moment.link.up)
    last, live = was.status, (status.installed_version, status.variant)
    return LogEntry(
        status=status,
        state_since=was.state_since if last.state == status.state else now,
        live_since=was.live_since if (last.installed_version, last.variant) == live else now,
        plan_since=was.plan_since if last.plan_sequence == status.plan_sequence else now,
        link_up=moment.link.up,
        link_since=was.link_since if was.link_up is moment.link.up else now,
        link_trouble=moment.link.trouble,
        notice=moment.notice,
        crossed=tuple(sorted(moment.history.crossed)),
        round_trip_ms=_known(readings.round_trip_ms),
        throughput_bytes_s=_known(readings.throughput_bytes_s),
    )


def _known(reading: float | Unknown) -> float | None:
    return None if isinstance(reading, Unknown) else round(reading, 1)


def _is_urgent(new: LogEntry, old: LogEntry) -> bool:
    """Whether people wait for the change; such changes are rare."""
    return any(getattr(new.status, name) != getattr(old.status, name) for name in URGENT) or _link_state(
        new
    ) != _link_state(old)


def _link_state(entry: LogEntry) -> tuple[bool, bool, str]:
    return entry.link_up, bool(entry.link_trouble), entry.notice


def _differ(status: Status, moment: Moment, old: LogEntry) -> bool:
    """Whether more has changed than times, progress and round trip."""
    due = old.status.next_check
    if (status.next_check is None) != (due is None) or (due is not None and status.at > due + OVERDUE):
        return True
    link = (moment.link.up, moment.link.trouble, moment.notice, tuple(sorted(moment.history.crossed)))
    if link != (old.link_up, old.link_trouble, old.notice, old.crossed):
        return True
    return any(getattr(status, name) != getattr(old.status, name) for name in LASTING)
