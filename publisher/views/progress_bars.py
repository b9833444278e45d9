"""Progress of a command on standard error: bars on a terminal, else plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

OnProgress = Callable[[int, int, str], None]
LINE_EVERY_S: Final = 10.0  # without a terminal


class TerminalProgress:
    def __init__(self) -> None:
        self._write: Callable[[str], object] = lambda text: sys.stderr.write(f"{text}\n")

    def report(self, text: str) -> None:
        """Write a line, above the bar if there is one."""
        self._write(text)

    @contextmanager
    def bar(self, what: str, *, is_bytes: bool = False) -> Iterator[OnProgress]:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        amount = DownloadColumn() if is_bytes else MofNCompleteColumn()
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), amount, TimeElapsedColumn())
        console = Console(stderr=True, highlight=False)
        with Progress(
            *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False
        ) as progress:
            task = progress.add_task(_cut(what), total=None)

            def on_progress(done: int, total: int, now: str) -> None:
                progress.update(task, completed=done, total=total or None, description=_cut(now))

            without_bar, self._write = self._write, partial(progress.console.print, markup=False, soft_wrap=True)
            try:
                yield on_progress
            finally:
                self._write = without_bar


class LineProgress:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

    def report(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")

    @contextmanager
    def bar(self, what: str, *, is_bytes: bool = False) -> Iterator[OnProgress]:
        """Write a line at the start, and then at most one every `LINE_EVERY_S`."""
        self.report(f"{what} …")
        written_at_s = self._clock()

        def on_progress(done: int, total: int, now: str) -> None:
            nonlocal written_at_s
            if self._clock() - written_at_s >= LINE_EVERY_S:
                written_at_s = self._clock()
                amount = f"{done / 1e6:.1f} of {total / 1e6:.1f} MB" if is_bytes else f"{done} of {total}"
                self.report(f"{now}: {amount}")

        yield on_progress


def progress_for() -> TerminalProgress | LineProgress:
    """Bars if standard error is a terminal, else lines."""
    return TerminalProgress() if sys.stderr.isatty() else LineProgress()


def _cut(text: str) -> str:
    return text if len(text) <= 30 else text[:29] + "…"
