"""The registry's lock. The operating system frees it when its holder dies."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from protocol.errors import Busy

_POLL_S: Final = 0.1


@contextmanager
def hold(path: Path, *, wait_s: float = 0.0, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold a lock file. `on_wait` gets the name of another holder. Raises Busy."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _take(descriptor, path, wait_s, on_wait)
        _sign(descriptor)
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> str:
    """The last holder of the lock, such as `publisher release (process 4711)`."""
    return path.read_text(errors="replace").strip() or "another command"


def _take(descriptor: int, path: Path, wait_s: float, on_wait: Callable[[str], None] | None) -> None:
    until_s, notified = time.monotonic() + wait_s, False
    while not _try(descriptor):
        if on_wait and not notified:
            on_wait(holder(path))
            notified = True
        if time.monotonic() >= until_s:
            raise Busy(f"the registry is in use by {holder(path)}", hint="wait for it to end, or end it")
        time.sleep(_POLL_S)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(descriptor: int) -> None:
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]]).strip() or "python"
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{command} (process {os.getpid()})\n".encode(), 0)
