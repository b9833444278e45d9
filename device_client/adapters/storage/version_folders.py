"""`versions/<name>/`: the files of a version under their names, as links to `files/`.

`current` links to one of them and is renamed over the old link, so that all files are
swapped at once; `current.tflite` leads through it. A program that reads several files
resolves `current` once. While it holds a shared lock on the folder (`hold_folder`, or
flock(1)), the folder and its files stay, whatever is installed meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from device_client.paths import CURRENT, CURRENT_FOLDER, FILES, VERSIONS
from device_client.ports.storage import VersionFolder
from protocol.content.label_file import pack_labels
from protocol.errors import BlobDamaged
from protocol.host.files import rename_durably, sync_folder
from protocol.messages.manifest import LABELS_FILE, MODEL_FILE

KEPT_MAX: Final = 6  # folders; three versions may be installed at a time
_MAKING: Final = ".making"
_NEXT: Final = (f".{CURRENT_FOLDER}.next", f".{CURRENT}.next")


class VersionFolders:
    """The version folders of one model; one thread uses it."""

    def __init__(self, folder: Path) -> None:
        """Remove what a power cut left half-made."""
        self._folder, self._versions = folder, folder / VERSIONS
        with contextlib.suppress(OSError):  # a disk that cannot be written can still serve
            for name in _NEXT:
                (folder / name).unlink(missing_ok=True)
            shutil.rmtree(self._versions / _MAKING, ignore_errors=True)

    def make(self, version: VersionFolder) -> Path:
        """The folder of a version, made or mended. Raises BlobDamaged, OSError."""
        for name, sha256 in version.links.items():
            if not (self._folder / FILES / sha256).is_file():
                raise BlobDamaged(f"the file {sha256[:12]} of {name} is not in {self._folder / FILES}")
        folder = self._versions / version.name
        wrong = [name for name in version.names if not _is_right(folder, name, version)]
        if wrong or not folder.is_dir():
            self._write(folder, wrong, version)
        return folder

    def make_current(self, version: VersionFolder) -> None:
        """Let `current` and `current.tflite` lead to a version, atomically."""
        folder = self.make(version)
        os.utime(folder)  # the last ones to be current are kept longest
        self._link(self._folder / CURRENT_FOLDER, Path(VERSIONS) / version.name)
        self._link(self._folder / CURRENT, Path(CURRENT_FOLDER) / MODEL_FILE)

    def keep_only(self, sha256s: Collection[str]) -> frozenset[str]:
        """Remove folders that lead to other files, and very old ones.

        Those that readers hold stay; returns the files that only they need.
        """
        if not self._versions.is_dir():
            return frozenset()
        held: set[str] = set()
        current = (self._folder / CURRENT_FOLDER).resolve()
        others = sorted((each for each in self._versions.iterdir() if each != current), key=_age_s)
        for index, folder in enumerate(others):
            needs = _linked(folder)
            if (index >= KEPT_MAX - 1 or not needs <= set(sha256s)) and not _removed(folder):
                held |= needs
        return frozenset(held - set(sha256s))

    def _write(self, folder: Path, wrong: list[str], version: VersionFolder) -> None:
        making = self._versions / _MAKING
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        for name in wrong:
            if name in version.links:
                (making / name).symlink_to(_target(version.links[name]))
            else:
                _write_synced(making / name, pack_labels(version.labels))
        sync_folder(making)
        if not folder.is_dir():
            rename_durably(making, folder)
            return
        for name in wrong:
            (making / name).replace(folder / name)
        making.rmdir()
        sync_folder(folder)

    def _link(self, link: Path, target: Path) -> None:
        if link.is_symlink() and link.readlink() == target:
            return
        following = link.with_name(f".{link.name}.next")
        following.unlink(missing_ok=True)
        following.symlink_to(target)
        rename_durably(following, link)


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[bool]:
    """Keep a version folder and its files for a block; False if it is gone already."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        yield False
        return
    try:
        yield _lock(descriptor, fcntl.LOCK_SH) and _is_there(folder, descriptor)
    finally:
        os.close(descriptor)


def _removed(folder: Path) -> bool:
    """Remove a folder, unless a reader holds it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        folder.unlink(missing_ok=True)  # no folder of ours
        return True
    try:
        if not _lock(descriptor, fcntl.LOCK_EX):
            return False
        shutil.rmtree(folder)
        return True
    finally:
        os.close(descriptor)


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as refused:
        return refused.errno not in {errno.EWOULDBLOCK, errno.EACCES}  # a file system without locks holds nothing
    return True


def _is_there(folder: Path, descriptor: int) -> bool:
    """Whether it was not removed between opening and locking."""
    try:
        return folder.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def _is_right(folder: Path, name: str, version: VersionFolder) -> bool:
    path = folder / name
    try:
        if name in version.links:
            return path.readlink() == _target(version.links[name])
        return name == LABELS_FILE and path.read_bytes() == pack_labels(version.labels)
    except OSError:
        return False


def _target(sha256: str) -> Path:
    return Path("..") / ".." / FILES / sha256


def _linked(folder: Path) -> frozenset[str]:
    try:
        return frozenset(link.readlink().name for link in folder.iterdir() if link.is_symlink())
    except OSError:
        return frozenset({""})  # unreadable: not needed


def _age_s(folder: Path) -> float:
    return -folder.lstat().st_mtime


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
