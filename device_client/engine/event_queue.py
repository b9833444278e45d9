"""Events that wait for one engine, and the pause after a failed write to disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from device_client.core import events as happened

DISK_RETRY_S: Final = 10.0
REPEATED: Final = (happened.TimePassed, happened.PlanTrusted, happened.PlanRefused, happened.LinkUp, happened.LinkDown)
"""Of these only the latest matters: a disk may stay full for weeks."""


class EventQueue:
    """In order of arrival; each event comes with the metadata to save along with it.

    After `block` the first event stays until `unblock`, and is then tried again.
    """

    def __init__(self) -> None:
        self._events: deque[tuple[happened.Event, Mapping[str, bytes] | None]] = deque()
        self.blocked_until_s: float | None = None  # while the first event waits for the disk
        self.disk_problem = ""  # why nothing can be saved; empty when it can

    def __len__(self) -> int:
        return len(self._events)

    @property
    def blocked(self) -> bool:
        return self.blocked_until_s is not None

    def append(self, event: happened.Event, trusted: Mapping[str, bytes] | None = None) -> None:
        self._events.append((event, trusted))

    def drop_repeated(self, event: happened.Event) -> None:
        """Make room for an event that replaces its like, except for the first event."""
        if self._events and isinstance(event, REPEATED):
            first = self._events.popleft()
            self._events = deque([first, *(each for each in self._events if type(each[0]) is not type(event))])

    def first(self) -> tuple[happened.Event, Mapping[str, bytes] | None] | None:
        """The event to process now; None if there is none or the queue is blocked."""
        return self._events[0] if self._events and not self.blocked else None

    def remove_first(self) -> None:
        self._events.popleft()
        self.disk_problem = ""

    def block(self, failed: Exception, now_s: float) -> None:
        self.blocked_until_s = now_s + DISK_RETRY_S
        self.disk_problem = f"the device's disk cannot be written: {failed}"

    def unblock(self, now_s: float) -> bool:
        """End the pause when it is over; return whether events may be processed."""
        if self.blocked_until_s is not None and now_s >= self.blocked_until_s:
            self.blocked_until_s = None
        return not self.blocked
