"""How long work tells where it is: steps done, steps in all, and what is being done now. Draws nothing."""

from __future__ import annotations

from collections.abc import Callable

OnProgress = Callable[[int, int, str], None]


def silent(done: int, total: int, what: str) -> None:
    """Tell nobody."""


class Steps:
    """Counts the steps of a piece of work that has parts with progress of their own."""

    def __init__(self, total: int, on_progress: OnProgress) -> None:
        self._total = total
        self._done = 0
        self._on_progress = on_progress

    def expect(self, steps: int) -> None:
        """More of them than was known."""
        self._total += steps

    def within(self) -> OnProgress:
        """For a part that counts for itself, from nothing; `end` then counts all of it."""
        return lambda done, _total, what: self._on_progress(self._done + done, self._total, what)

    def begin(self, what: str) -> None:
        """Say what is being done; it is not done yet."""
        self._on_progress(self._done, self._total, what)

    def end(self, what: str, steps: int = 1) -> None:
        """Count what was done."""
        self._done += steps
        self._on_progress(self._done, self._total, what)
