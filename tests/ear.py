"""A sink for links in tests: it remembers all it was told, and waits for what a test expects."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Final, TypeVar

from protocol.mqtt.link import LinkEvent, Received, SweepCompleted

WITHIN_S: Final = 60.0  # generous: the machine may be busy
Event = TypeVar("Event")


def _any(_event: object) -> bool:
    return True


class Ear:
    """Give `ear.hear` to a link as its sink."""

    def __init__(self) -> None:
        self.heard: list[LinkEvent] = []
        self._fresh: queue.SimpleQueue[LinkEvent] = queue.SimpleQueue()

    def hear(self, event: LinkEvent) -> None:
        """Take an event; from any thread."""
        self.heard.append(event)
        self._fresh.put(event)

    def next(self, kind: type[Event], where: Callable[[Event], bool] = _any, within_s: float = WITHIN_S) -> Event:
        """The next event of a kind; others before it are passed over. Raises AssertionError when none comes."""
        deadline_s = time.monotonic() + within_s
        while True:
            try:
                event = self._fresh.get(timeout=max(0.0, deadline_s - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {kind.__name__}; heard {self.heard[-20:]}") from None
            if isinstance(event, kind) and where(event):
                return event

    def all_of(self, kind: type[Event]) -> list[Event]:
        """All events of a kind so far."""
        return [event for event in self.heard if isinstance(event, kind)]

    def swept(self, topics: list[str]) -> dict[str, bytes]:
        """Wait for the end of a sweep; return what came since the last asking."""
        found: dict[str, bytes] = {}

        def ends(event: object) -> bool:
            if isinstance(event, Received):
                found[event.topic] = event.payload
            return isinstance(event, SweepCompleted) and event.topics == tuple(topics)

        self.next(object, ends)
        return found

    def topics(self) -> list[str]:
        """The topics of all messages so far."""
        return [event.topic for event in self.all_of(Received)]
