"""The priority of a thread or process, so that serving comes before updating."""

from __future__ import annotations

import contextlib
import os


def lower_priority(who: int, nice: int) -> None:
    """Raise the niceness of a thread or process, 0 being this thread, to `nice`.

    A higher one stays, as its owner may have set it (systemd's `Nice=`) and lowering it
    is a privilege. Does nothing when the system refuses, or when `who` has ended.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, who, max(nice, os.getpriority(os.PRIO_PROCESS, who)))
