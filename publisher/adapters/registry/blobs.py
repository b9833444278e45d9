"""Files named by their SHA-256; renamed when complete, so none is ever half a file."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, BinaryIO, Final

from protocol.errors import BadInput, BadName, NoRoom
from protocol.host.files import rename_durably
from protocol.topics import SHA256

_PIECE_BYTES: Final = 1024 * 1024
_UNFINISHED: Final = ".unfinished-"
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, a quota, a limit of the session


@dataclass(frozen=True, slots=True)
class Blobs:
    """The files of models, golden sets, encodings and weights."""

    folder: Path

    def add_file(self, path: Path) -> str:
        """Copy a file in, also over a damaged copy. Raises NoRoom, BadInput."""
        try:
            with path.open("rb") as source:
                return self._add(source)
        except (FileNotFoundError, IsADirectoryError, PermissionError) as unreadable:
            raise BadInput(f"{path} cannot be read: {unreadable.strerror}") from None

    def add_bytes(self, content: bytes) -> str:
        """Store bytes and return their SHA-256. Raises NoRoom."""
        return self._add(io.BytesIO(content))

    def has(self, sha256: str) -> bool:
        """Whether the file exists. Does not read its bytes."""
        return self.path(sha256).exists()

    def path(self, sha256: str) -> Path:
        """Where the file is, or would be. Raises BadName."""
        if not SHA256.fullmatch(sha256):
            raise BadName(f"{sha256[:80]!r} is not a SHA-256 in lower-case hex")
        return self.folder / sha256

    def remove(self, sha256: str) -> None:
        self.path(sha256).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """The hashes of all files, sorted."""
        return sorted(path.name for path in self.folder.iterdir() if SHA256.fullmatch(path.name))

    def remove_unfinished(self) -> int:
        """Delete what a killed command left half written. Call it under the lock."""
        left = [path for path in self.folder.iterdir() if path.name.startswith(_UNFINISHED)]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def _add(self, source: BinaryIO) -> str:
        with (
            _no_room_as_ferry_error(self.folder),
            NamedTemporaryFile(dir=self.folder, prefix=_UNFINISHED, delete=False) as temporary,
        ):
            fresh = Path(temporary.name)
            try:
                sha256 = _copy(source, temporary)
                rename_durably(fresh, self.path(sha256))
            except BaseException:
                fresh.unlink(missing_ok=True)
                raise
        return sha256


def _copy(source: BinaryIO, target: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := source.read(_PIECE_BYTES):
        digest.update(piece)
        target.write(piece)
    target.flush()
    os.fsync(target.fileno())
    return digest.hexdigest()


@contextmanager
def _no_room_as_ferry_error(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as trouble:
        if trouble.errno not in _NO_ROOM:
            raise
        raise NoRoom(f"no room to write in {folder}", hint="free some space on that disk and run it again") from None
