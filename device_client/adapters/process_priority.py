"""The priority of a thread or process, so that serving comes before updating."""

from __future__ import annotations

import contextlib
import os


def lower_priority(who: int, nice: int) -> None:
    """Raise the niceness of a thread or process, 0 being this thread, to `nice`."""
    with contextlib.suppress(OSError):  # refused, or it has ended; a higher one stays: to lower it is a privilege
        os.setpriority(os.PRIO_PROCESS, who, max(nice, os.getpriority(os.PRIO_PROCESS, who)))
