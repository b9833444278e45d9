"""The lock of a state folder: one process at a time, whose id others can read."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from typing import Final

from device_client.adapters.storage.disk import os_error
from protocol.errors import Busy

_UNWRITABLE: Final = frozenset({errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO})


def hold(path: Path) -> int:
    """Lock this file; return its descriptor. Raises Busy, NoRoom, BadInput."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = _open(path)
    except OSError as refused:
        raise os_error(refused, f"the folder {path.parent} cannot be used") from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        found = _process_id(held)
        os.close(held)
        raise Busy(
            f"process {found} already runs with the folder {path.parent}",
            hint=f"stop it first: kill {found}" if found.isdigit() else "stop it first",
        ) from None
    with contextlib.suppress(OSError):  # the lock holds without it; the id is for messages only
        text = f"{os.getpid()}\n".encode()
        os.pwrite(held, text, 0)  # overwrites: a full disk has no room for more
        os.ftruncate(held, len(text))
    return held


def holder(path: Path) -> str:
    """The id of the process that holds the lock, or "unknown"; empty when none does."""
    try:
        held = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _process_id(held)
    else:
        return ""
    finally:
        os.close(held)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as refused:
        if refused.errno not in _UNWRITABLE or not path.exists():
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # on a read-only disk, that of an earlier run


def _process_id(held: int) -> str:
    return os.read(held, 20).decode(errors="replace").strip() or "unknown"
