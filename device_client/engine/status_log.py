"""What a person asks for besides the remembered state: the last status, since when what stands, how the link is.

One entry a model, kept in the journal so that `device-client why` can tell it, also when the device does not run. The
status is the one that is published. Decides nothing, and nothing is decided by it; a disk that is full costs the entry.
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

PAUSE_S: Final = 60.0  # between two writes about readings and times: a device's flash wears out
PASSED: Final = timedelta(minutes=5)  # so long after it a check that was promised is told anew
LASTING: Final = tuple(name for name in Status.model_fields if name not in {"at", "next_check", "update_percentage"})


class StatusLog:
    """Of one model. `due_s`: when something that had to wait is written, on the monotonic clock."""

    def __init__(self, model: str, journal: Journal, clock: Clock) -> None:
        self._model, self._journal, self._clock = model, journal, clock
        self._written: LogEntry | None = None
        self._written_at_s = 0.0
        self.due_s: float | None = None

    def load(self) -> None:
        """Take up what an earlier life wrote."""
        self._written = read(self._journal.load_log_entry(self._model))

    def keep(self, status: Status, moment: Moment) -> None:
        """Write what is new: at once what changes seldom, the rest once a minute."""
        now_s, before = self._clock.monotonic_s(), self._written
        self.due_s = None
        if before is not None and not _differ(status, moment, before):
            return
        entry = following(before, status, moment)
        if before is not None and not _weighs(entry, before) and now_s < self._written_at_s + PAUSE_S:
            self.due_s = self._written_at_s + PAUSE_S
            return
        self._written, self._written_at_s = entry, now_s
        try:
            self._journal.save_log_entry(self._model, entry.model_dump_json(exclude_none=True).encode())
        except (FerryError, OSError) as full:
            log.warning("%s: the logbook was not written: %s", self._model, full)


def read(noted: bytes | None) -> LogEntry | None:
    """An entry as it was written; one of another client, that cannot be read, is none."""
    try:
        return None if noted is None else LogEntry.model_validate_json(noted)
    except ValidationError:
        return None


def following(before: LogEntry | None, status: Status, moment: Moment) -> LogEntry:
    """The entry after `before`, as of the status's own time. Of the very first one nobody knows since when it stood."""
    now, readings = status.at, moment.readings
    was = before or LogEntry(status=status, link_up=moment.link_up)
    last, live = was.status, (status.installed_version, status.variant)
    return LogEntry(
        status=status,
        state_since=was.state_since if last.state == status.state else now,
        live_since=was.live_since if (last.installed_version, last.variant) == live else now,
        plan_since=was.plan_since if last.plan_sequence == status.plan_sequence else now,
        link_up=moment.link_up,
        link_since=was.link_since if was.link_up is moment.link_up else now,
        link_trouble=moment.link_trouble,
        notice=moment.notice,
        crossed=tuple(sorted(moment.crossed)),
        round_trip_ms=_known(readings.round_trip_ms),
        throughput_bytes_s=_known(readings.throughput_bytes_s),
    )


def _known(reading: float | Unknown) -> float | None:
    return None if isinstance(reading, Unknown) else round(reading, 1)


def _weighs(new: LogEntry, old: LogEntry) -> bool:
    """Whether it is a change that people wait for, and that comes seldom."""
    return any(
        getattr(new.status, name) != getattr(old.status, name)
        for name in ("state", "installed_version", "variant", "latest_version", "plan_sequence")
    ) or _of_link(new) != _of_link(old)


def _of_link(entry: LogEntry) -> tuple[bool, bool, str]:
    return entry.link_up, bool(entry.link_trouble), entry.notice


def _differ(status: Status, moment: Moment, old: LogEntry) -> bool:
    """Whether more than the time, a little progress and the round trip is new; asked at every event, and cheaply."""
    due = old.status.next_check
    if (status.next_check is None) != (due is None) or (due is not None and status.at > due + PASSED):
        return True
    link = (moment.link_up, moment.link_trouble, moment.notice, tuple(sorted(moment.crossed)))
    if link != (old.link_up, old.link_trouble, old.notice, old.crossed):
        return True
    return any(getattr(status, name) != getattr(old.status, name) for name in LASTING)
