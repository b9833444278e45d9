"""Waits of tests: `Recorder` and `LinkRecorder` for events, `poll_until` for the rest.

Every wait ends, with an AssertionError that shows what was recorded last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from protocol.mqtt.link import LinkEvent, Received, SweepCompleted

WITHIN_S: Final = 180.0  # a limit for tests that fail: the machine may be slow and busy
CHECK_S: Final = 0.5  # between two checks of `while_`
POLL_S: Final = 0.02
Item = TypeVar("Item")
Event = TypeVar("Event")


def _always(_anything: object = None) -> bool:
    return True


def poll_until(true: Callable[[], object], within_s: float = WITHIN_S, explain: Callable[[], str] = str) -> None:
    """Wait for what sends no event, such as another process's file.

    `explain` is what the AssertionError says.
    """
    deadline_s = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline_s, f"still not true after {within_s:g} s: {explain()}"
        time.sleep(POLL_S)


class Recorder(Generic[Item]):
    """Thread-safe. An index into `items` is a point in time."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self._changed = threading.Condition()

    def record(self, item: Item) -> None:
        """Append an item; from any thread."""
        with self._changed:
            self.items.append(item)
            self._changed.notify_all()

    def wait(
        self,
        fits: Callable[[Item], bool],
        *,
        since: int = 0,
        within_s: float = WITHIN_S,
        while_: Callable[[], bool] = _always,
    ) -> int:
        """Return the index of the first item that fits, from `since` on.

        Gives up after `within_s`, or once `while_` is false.
        """
        deadline_s, at = time.monotonic() + within_s, since
        with self._changed:
            while True:
                while at < len(self.items):
                    if fits(self.items[at]):
                        return at
                    at += 1
                left_s = deadline_s - time.monotonic()
                assert left_s > 0, f"not recorded within {within_s:g} s; the last: {self.items[-6:]}"
                assert while_(), f"nothing more will come; the last: {self.items[-6:]}"
                self._changed.wait(min(left_s, CHECK_S))


class LinkRecorder(Recorder[LinkEvent]):
    """Give `recorder.record` to a link as its sink."""

    def __init__(self) -> None:
        super().__init__()
        self._read = 0

    def next(self, kind: type[Event], where: Callable[[Event], bool] = _always, within_s: float = WITHIN_S) -> Event:
        """Return the next event of a kind; others before it are skipped."""
        at = self.wait(lambda event: isinstance(event, kind) and where(event), since=self._read, within_s=within_s)
        self._read = at + 1
        event = self.items[at]
        assert isinstance(event, kind)
        return event

    def all_of(self, kind: type[Event]) -> list[Event]:
        """All events of a kind so far."""
        return [event for event in self.items if isinstance(event, kind)]

    def swept(self, topics: list[str]) -> dict[str, bytes]:
        """Wait for the end of a sweep; return the messages since the last `next`."""
        begin = self._read
        self.next(SweepCompleted, lambda swept: swept.topics == tuple(topics))
        received = [event for event in self.items[begin : self._read] if isinstance(event, Received)]
        return {event.topic: event.payload for event in received}

    def topics(self) -> list[str]:
        """The topics of all messages so far."""
        return [event.topic for event in self.all_of(Received)]
