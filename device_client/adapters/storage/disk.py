"""What store and journal ask of a file system: room, lasting renames, its refusals told with the way out.

Knows no tree and no table.
"""

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
    """Why nothing can be written, and the way out."""

    reason: str
    hint: str

    def error(self, path: Path) -> NoRoom:
        """For what could not be written there."""
        return NoRoom(f"{self.reason}: {path} cannot be written", hint=self.hint)


FULL: Final = DiskTrouble("the disk is full", "remove files from that disk")
READ_ONLY: Final = DiskTrouble(
    "the disk is read-only", "`dmesg` tells why; check the file system, then mount it to be written"
)
FAILING: Final = DiskTrouble("the disk fails", "`dmesg` tells more; replace a card that is worn out")
_TROUBLE: Final = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EROFS: READ_ONLY,
    errno.EIO: FAILING,
}


def refusal(refused: OSError, told: str) -> FerryError:
    """What the system refused, as a person needs it: each trouble of a disk has its own way out."""
    trouble = _TROUBLE.get(refused.errno or 0)
    if trouble is not None:
        return NoRoom(f"{trouble.reason}: {told}", hint=trouble.hint)
    return BadInput(f"{told}: {refused.strerror}", hint="check who owns it")


def tried(folder: Path, size_bytes: int) -> DiskTrouble | None:
    """What is wrong with the disk, by writing a file: one that ended in an error may call itself writable all the same.

    None when nothing is, or when the trouble is another: whose folder it is, say.
    """
    probe = folder / f".tried-{os.getpid()}"
    try:
        with probe.open("wb", buffering=0) as file:
            file.write(bytes(size_bytes))
            os.fsync(file.fileno())
    except OSError as refused:
        return _TROUBLE.get(refused.errno or 0)
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
    return None


def free_bytes(folder: Path) -> int:
    """What an ordinary user may still write there."""
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize


def check_room(folder: Path, wanted_bytes: int) -> None:
    """Raise NoRoom, with both figures, when `wanted_bytes` and a margin do not fit."""
    free = free_bytes(folder)
    if free < wanted_bytes + MARGIN_BYTES:
        raise NoRoom(f"{wanted_bytes + MARGIN_BYTES:,} bytes are needed in {folder}, {free:,} are free", hint=_HINT)


def reserve(descriptor: int, size_bytes: int) -> None:
    """Give the file exactly this length, with room behind it where the file system can promise that."""
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
    except OSError as refused:
        if refused.errno not in _CANNOT_RESERVE:
            raise
    os.ftruncate(descriptor, size_bytes)


@contextmanager
def full_disk_is_no_room(folder: Path, wanted_bytes: int) -> Iterator[None]:
    """Turn the system's words for a full disk or quota into NoRoom."""
    try:
        yield
    except OSError as refused:
        if refused.errno not in _FULL:
            raise
        raise NoRoom(
            f"the disk is full: {wanted_bytes:,} bytes are needed in {folder}, {free_bytes(folder):,} are free",
            hint=_HINT,
        ) from None


def rename_for_good(source: Path, target: Path) -> None:
    """Rename in a way that survives a power cut. The file itself must be on the disk already."""
    source.replace(target)
    for folder in {source.parent, target.parent}:
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Bring a folder's own list of names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
