"""Gives way to whoever else wants the processor: the niceness of a thread or of a child. Knows not who they are."""

from __future__ import annotations

import contextlib
import os


def give_way(who: int, nice: int) -> None:
    """Let a thread or process run at this niceness, or at a higher one that it has already; 0 is whoever asks.

    The owner may have made the whole process nicer (systemd's `Nice=`), and to take that back is a privilege. Where
    it cannot be changed, or nobody of that id runs any more, all goes on as it is.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, who, max(nice, os.getpriority(os.PRIO_PROCESS, who)))
