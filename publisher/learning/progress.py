"""Reports progress to a callback of (steps done, steps in all, what is being done)."""

from __future__ import annotations

from collections.abc import Callable

OnProgress = Callable[[int, int, str], None]


def ignore_progress(done: int, total: int, what: str) -> None:
    """Discard all progress."""


class Steps:
    """Counts the steps of work whose parts report progress of their own."""

    def __init__(self, total: int, on_progress: OnProgress) -> None:
        self._total = total
        self._done = 0
        self._on_progress = on_progress

    def expect(self, steps: int) -> None:
        self._total += steps

    def within(self) -> OnProgress:
        """A callback for a part that counts from 0; `end` then counts all of it."""
        return lambda done, _total, what: self._on_progress(self._done + done, self._total, what)

    def begin(self, what: str) -> None:
        """Report what is being done, without counting it."""
        self._on_progress(self._done, self._total, what)

    def end(self, what: str, steps: int = 1) -> None:
        self._done += steps
        self._on_progress(self._done, self._total, what)
