"""Runs the owner's command after a swap, so that other programs can follow.

One at a time; while it runs, only the latest swap waits. A command that fails or times
out is logged; neither the updater nor a prediction ever waits for it.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from device_client.paths import CURRENT_FOLDER
from device_client.ports.serving import Swapped
from protocol.errors import BadSettings
from protocol.host.child_process import Child

STDERR: Final = 2  # stdout is for our own data; the output of the command goes where our log goes
_JOIN_S: Final = 5.0  # at close: how long a killed command may take to end

log = logging.getLogger(__name__)


class SwapHook:
    """The hook of one model, with a thread for the command; any thread may call it."""

    def __init__(self, model: str, command: Sequence[str], current: Path, *, timeout_s: float) -> None:
        """`current`: the link to the live file. Raises BadSettings."""
        found_program(model, command)
        self._model, self._command, self._current, self._timeout_s = model, tuple(command), current, timeout_s
        self._changed = threading.Condition()
        self._waiting: Swapped | None = None
        self._latest: Swapped | None = None  # the last one, unless its command failed
        self._child: Child | None = None
        self._closed = False
        # not started by the updater, whose low priority the thread would inherit
        self._thread = threading.Thread(target=self._work, name=f"on_swap {model}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def notify(self, swapped: Swapped) -> None:
        """Run the command soon, unless it last ran for this version and succeeded."""
        with self._changed:
            latest = self._latest
            if latest and (latest.version, latest.variant) == (swapped.version, swapped.variant):
                return
            self._waiting = self._latest = swapped
            self._changed.notify()

    def close(self) -> None:
        """Kill the command, if it runs; drop the swap that waits."""
        with self._changed:
            self._closed = True
            if self._child:
                self._child.kill()
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def _work(self) -> None:
        while (swapped := self._next()) is not None:
            if failure := self._run(swapped):
                with self._changed:
                    if self._latest is swapped:
                        self._latest = None
                log.error("%s: on_swap for %s: %s", self._model, swapped.version, failure)

    def _next(self) -> Swapped | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting)
            swapped, self._waiting = self._waiting, None
            return None if self._closed else swapped

    def _run(self, swapped: Swapped) -> str:
        """Run the command to its end; return why it failed, empty when it did not."""
        program = self._command[0]
        try:
            child = Child(self._command, env=self._environment(swapped), stdout=STDERR, stderr=None)
        except OSError as error:
            return f"{program} cannot be run: {error.strerror}"
        with self._changed:
            self._child = child
            if self._closed:
                child.kill()
        ended = child.wait(self._timeout_s, spare_group=True)  # it may leave a program behind
        with self._changed:
            self._child = None
            if self._closed:
                return ""
        if ended.stopped:
            return f"{program} took longer than {self._timeout_s:g} s and was ended"
        return f"{program} failed with exit code {ended.returncode}" if ended.returncode else ""

    def _environment(self, swapped: Swapped) -> dict[str, str]:
        facts = {
            "MODEL": self._model,
            "VERSION": swapped.version,
            "VARIANT": swapped.variant,
            "FILE": str(self._current),
            "FOLDER": str(self._current.with_name(CURRENT_FOLDER)),
            "STATE": swapped.state,
            "REASON": swapped.reason.replace("\0", " "),
        }
        return {**os.environ, **{f"EDGEFERRY_SWAP_{name}": value for name, value in facts.items()}}


def found_program(model: str, command: Sequence[str]) -> str:
    """The path of the command's program. Raises BadSettings when there is none."""
    found = shutil.which(command[0])
    if found is None:
        raise BadSettings(
            f"the program {command[0]!r} of on_swap of {model} is not there, or may not be run",
            hint="mend `on_swap` in device.toml, or take it out; it is a list of words, no line of a shell",
        )
    return found
