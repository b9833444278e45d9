"""Free space on the disk, and its errors as FerryErrors with a hint."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.errors import BadInput, FerryError, NoRoom

MARGIN_BYTES: Final = 1_048_576  # left free for the journal and the file system's own tables
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_CANNOT_RESERVE: Final = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
_HINT: Final = "remove files from that disk, or choose another state folder in device.toml"


@dataclass(frozen=True, slots=True)
class DiskTrouble:
    reason: str
    hint: str

    def error(self, path: Path) -> NoRoom:
        return NoRoom(f"{self.reason}: {path} cannot be written", hint=self.hint)


FULL: Final = DiskTrouble("the disk is full", "remove files from that disk")
READ_ONLY: Final = DiskTrouble(
    "the disk is read-only", "`dmesg` tells why; check the file system, then mount it to be written"
)
FAILING: Final = DiskTrouble("the disk fails", "`dmesg` tells more; replace a card that is worn out")
_TROUBLE: Final = {errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.EROFS: READ_ONLY, errno.EIO: FAILING}


def os_error(error: OSError, message: str) -> FerryError:
    """Translate an error of the system; each fault of a disk has a hint of its own."""
    trouble = _TROUBLE.get(error.errno or 0)
    if trouble is not None:
        return NoRoom(f"{trouble.reason}: {message}", hint=trouble.hint)
    return BadInput(f"{message}: {error.strerror}", hint="check who owns it")


def probe_disk(folder: Path, size_bytes: int) -> DiskTrouble | None:
    """The fault of a disk, found by writing to it: flags may be wrong. Else None."""
    probe = folder / f".tried-{os.getpid()}"
    try:
        with probe.open("wb", buffering=0) as file:
            file.write(bytes(size_bytes))
            os.fsync(file.fileno())
    except OSError as error:
        return _TROUBLE.get(error.errno or 0)
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
    return None


def free_bytes(folder: Path) -> int:
    """What an unprivileged user may still write there."""
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize


def check_room(folder: Path, wanted_bytes: int) -> None:
    free = free_bytes(folder)
    if free < wanted_bytes + MARGIN_BYTES:
        raise NoRoom(f"{wanted_bytes + MARGIN_BYTES:,} bytes are needed in {folder}, {free:,} are free", hint=_HINT)


def reserve(descriptor: int, size_bytes: int) -> None:
    """Set the file's length, and allocate its blocks where the file system can."""
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
    except OSError as error:
        if error.errno not in _CANNOT_RESERVE:
            raise
    os.ftruncate(descriptor, size_bytes)


@contextmanager
def full_disk_is_no_room(folder: Path, wanted_bytes: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise NoRoom(
            f"the disk is full: {wanted_bytes:,} bytes are needed in {folder}, {free_bytes(folder):,} are free",
            hint=_HINT,
        ) from None
