"""Runs the owner's own command when another version has begun to answer, so that other programs can follow.

One at a time; while it runs, only the latest swap waits. Whatever the command does is its own affair: it is ended when
its time is up, its failure is a line in the log, and neither the updater nor a prediction ever waits for it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import shutil
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from device_client.ports.serving import Swapped
from protocol.errors import BadSettings

STDERR: Final = 2  # stdout is for data of ours; what the command says goes where our log goes
_JOIN_S: Final = 5.0  # closing: how long a killed command may take to be gone

log = logging.getLogger(__name__)


class SwapHook:
    """Of one model. `tell` and `close` may be called by any thread; the command is run by a thread of its own."""

    def __init__(self, model: str, command: Sequence[str], current: Path, *, timeout_s: float) -> None:
        """`current`: the link to the live file. Raises BadSettings when the program is not there."""
        found_program(model, command)
        self._model, self._command, self._current, self._timeout_s = model, tuple(command), current, timeout_s
        self._news = threading.Condition()
        self._waiting: Swapped | None = None
        self._latest: Swapped | None = None  # what was asked for last, unless its command failed
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        # made here and started by the station: a thread that the updater starts would have its low priority
        self._thread = threading.Thread(target=self._work, name=f"on_swap {model}", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def tell(self, swapped: Swapped) -> None:
        """Have the command run soon. The same version again, none between, is no news unless the command failed."""
        with self._news:
            latest = self._latest
            if latest and (latest.version, latest.variant) == (swapped.version, swapped.variant):
                return
            self._waiting = self._latest = swapped
            self._news.notify()

    def close(self) -> None:
        """End the command, if it runs; what waits is dropped."""
        with self._news:
            self._closed = True
            self._kill()
            self._news.notify()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def _work(self) -> None:
        while (swapped := self._next()) is not None:
            failure = self._run(swapped)
            if failure:
                self._forget(swapped)
                log.error("%s: on_swap for %s: %s", self._model, swapped.version, failure)

    def _next(self) -> Swapped | None:
        with self._news:
            self._news.wait_for(lambda: self._closed or self._waiting)
            swapped, self._waiting = self._waiting, None
            return None if self._closed else swapped

    def _forget(self, swapped: Swapped) -> None:
        with self._news:
            if self._latest is swapped:
                self._latest = None

    def _run(self, swapped: Swapped) -> str:
        """Run it to its end; why it failed, empty when it did not."""
        try:
            process = self._start(swapped)
        except OSError as refused:
            return f"{self._command[0]} cannot be run: {refused.strerror}"
        with self._news:
            self._process = process
            if self._closed:
                self._kill()
        late = not _ended_within(process, self._timeout_s)
        if late:
            with self._news:
                self._kill()
            _ended_within(process, None)  # not under the lock: who is told to stop may take its time
        with self._news:
            code = process.wait()  # it has ended; until this its number is nobody else's
            self._process = None
            if self._closed:
                return ""
        if late:
            return f"{self._command[0]} took longer than {self._timeout_s:g} s and was ended"
        return f"{self._command[0]} failed with exit code {code}" if code else ""

    def _start(self, swapped: Swapped) -> subprocess.Popen[bytes]:
        facts = {
            "MODEL": self._model,
            "VERSION": swapped.version,
            "VARIANT": swapped.variant,
            "FILE": str(self._current),
            "STATE": swapped.state,
            "REASON": swapped.reason.replace("\0", " "),
        }
        environment = {f"EDGEFERRY_SWAP_{name}": value for name, value in facts.items()}
        return subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=STDERR,
            env={**os.environ, **environment},
            start_new_session=True,  # so that its children end with it when it is ended
        )

    def _kill(self) -> None:
        """End it and its children. Called under the lock."""
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def found_program(model: str, command: Sequence[str]) -> str:
    """Where its program is. Raises BadSettings when it is not there."""
    found = shutil.which(command[0])
    if found is None:
        raise BadSettings(
            f"the program {command[0]!r} of on_swap of {model} is not there, or may not be run",
            hint="mend `on_swap` in device.toml, or take it out; it is a list of words, no line of a shell",
        )
    return found


def _ended_within(process: subprocess.Popen[bytes], timeout_s: float | None) -> bool:
    """Wait for its end without taking it in; for ever, where no time is given."""
    ended = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))
    finally:
        os.close(ended)
