"""The files of a model: `files/<sha256>`, `partial/<root>.part` and `.index`.

Whole files are named by their hash and never change; `versions/` has them by name.
Only one thread, of the process that has the journal open, uses a FileStore.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Collection
from pathlib import Path

from device_client.adapters.storage.disk import full_disk_is_no_room
from device_client.adapters.storage.partial_file import PartialFile
from device_client.adapters.storage.version_folders import VersionFolders
from device_client.paths import FILES
from device_client.ports.storage import Held, VersionFolder
from protocol.content.encodings import RAW, decode
from protocol.errors import BlobDamaged
from protocol.host.files import rename_durably, sync_folder
from protocol.messages.manifest import Encoding, Tree
from protocol.topics import SHA256


def is_whole(path: Path, sha256: str) -> bool:
    """Whether the file exists and its bytes have this hash. Any process may call it."""
    try:
        with path.open("rb") as whole:
            return hashlib.file_digest(whole, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False


class FileStore:
    """The Store port; one partial is open at a time."""

    def __init__(self, folder: Path) -> None:
        """Make the folder, and remove what a power cut left half-written."""
        self.folder = folder
        self._files = folder / FILES
        self._partials = folder / "partial"
        self._open: PartialFile | None = None
        for each in (self._files, self._partials):
            each.mkdir(parents=True, exist_ok=True)
        self._versions = VersionFolders(folder)
        with contextlib.suppress(OSError):  # a disk that cannot be written can still serve
            for leftover in self._partials.glob("*.plain"):
                leftover.unlink()

    def open_partial(self, tree: Tree, *, decoded_bytes: int = 0) -> Held:
        self.close_partial()
        part, index = (self._partials / f"{tree.root}.{kind}" for kind in ("part", "index"))
        self._open = PartialFile(part, index, tree, decoded_bytes=decoded_bytes)
        return self._open.held()

    def keep(self, sha256: str, payload: bytes) -> bool:
        return self._partial().keep(sha256, payload)

    def held(self) -> Held:
        return self._partial().held()

    def finish(self, encoding: Encoding, sha256: str, size_bytes: int) -> None:
        partial = self._partial()
        assert partial.tree == encoding.tree, "another tree than the open one"
        try:
            ready = self._decoded(partial, encoding.kind, sha256, size_bytes)
        except BlobDamaged:
            partial.discard()
            self._open = None
            raise
        partial.close()
        rename_durably(ready, self.path(sha256))
        partial.discard()
        self._open = None

    def has(self, sha256: str) -> bool:
        return is_whole(self.path(sha256), sha256)

    def path(self, sha256: str) -> Path:
        assert SHA256.fullmatch(sha256), "signed metadata checks the form of a hash"
        return self._files / sha256

    def make_folder(self, version: VersionFolder) -> Path:
        return self._versions.make(version)

    def make_current(self, version: VersionFolder) -> None:
        self._versions.make_current(version)

    def keep_only(self, sha256s: Collection[str]) -> None:
        open_files = {self._open.part, self._open.index} if self._open else set()
        needed = self._versions.keep_only(sha256s).union(sha256s)
        for path in self._files.iterdir():
            if path.name not in needed:
                path.unlink()
        for path in self._partials.iterdir():
            if path not in open_files:
                path.unlink()
        sync_folder(self._files)

    def close_partial(self) -> None:
        if self._open:
            self._open.close()
            self._open = None

    def _partial(self) -> PartialFile:
        assert self._open, "no partial is open"
        return self._open

    def _decoded(self, partial: PartialFile, kind: str, sha256: str, size_bytes: int) -> Path:
        """The verified file under a temporary name; a raw one is the partial itself."""
        plain = Path(os.devnull) if kind == RAW else self._partials / f"{partial.tree.root}.plain"
        try:
            with (
                full_disk_is_no_room(self.folder, size_bytes),
                partial.part.open("rb") as packed,
                plain.open("wb") as target,
            ):
                decode(kind, packed, target, sha256=sha256, size_bytes=size_bytes)
                if kind == RAW:
                    partial.sync()
                    return partial.part
                target.flush()
                os.fsync(target.fileno())
        except BaseException:
            if kind != RAW:
                plain.unlink(missing_ok=True)
            raise
        return plain
