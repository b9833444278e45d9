"""How operations report progress. `views.progress_bars` shows it on a terminal."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from publisher.learning.progress import OnProgress as OnProgress


class Progress(Protocol):
    def report(self, text: str) -> None:
        """Show a line of text."""

    def bar(self, what: str, *, is_bytes: bool = False) -> AbstractContextManager[OnProgress]:
        """Show a progress bar for the length of a block."""


class SilentProgress:
    def report(self, text: str) -> None:
        """Discard."""

    def bar(self, what: str, *, is_bytes: bool = False) -> AbstractContextManager[OnProgress]:  # noqa: ARG002 - a port
        return nullcontext(lambda *_: None)
