"""How an operation tells a person what is going on. The terminal's voices are in `publisher.views.progress_bars`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

OnProgress = Callable[[int, int, str], None]  # done, total, what


class Progress(Protocol):
    """Somebody may be watching."""

    def say(self, text: str) -> None:
        """Tell something, once."""

    def bar(self, what: str, *, is_bytes: bool = False) -> AbstractContextManager[OnProgress]:
        """Show how long work goes on, for the length of a block."""


class SilentProgress:
    """Nobody is watching."""

    def say(self, text: str) -> None:
        """Tell nobody."""

    def bar(self, what: str, *, is_bytes: bool = False) -> AbstractContextManager[OnProgress]:  # noqa: ARG002 - a Voice's
        """Show nothing."""
        return nullcontext(lambda *_: None)
