"""Files by the hash of their bytes: written beside, flushed, renamed, so that a name never stands for half a file."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, BinaryIO, Final

from protocol.errors import BadInput, BadName, NoRoom
from protocol.host.files import rename_durably
from protocol.topics import SHA256
from publisher.adapters.registry.table import Table

_PIECE_BYTES: Final = 1024 * 1024
_UNFINISHED: Final = ".unfinished-"
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, a quota, a limit of the session


class Blobs(Table):
    """The files of models, golden sets and encodings."""

    def add_file(self, path: Path) -> str:
        """Copy a file in; return its SHA-256. Adding it again repairs a damaged copy. Raises NoRoom, BadInput."""
        try:
            with path.open("rb") as source:
                return self._add(source)
        except (FileNotFoundError, IsADirectoryError, PermissionError) as unreadable:
            raise BadInput(f"{path} cannot be read: {unreadable.strerror}") from None

    def add_bytes(self, content: bytes) -> str:
        """Keep some bytes; return their SHA-256. Raises NoRoom."""
        return self._add(io.BytesIO(content))

    def has_blob(self, sha256: str) -> bool:
        """Whether the file is here; its bytes are not read."""
        return self.blob_path(sha256).exists()

    def blob_path(self, sha256: str) -> Path:
        """Where the file is, or would be."""
        if not SHA256.fullmatch(sha256):
            raise BadName(f"{sha256[:80]!r} is not a SHA-256 in lower-case hex")
        return self.folder / "blobs" / sha256

    def discard_blob(self, sha256: str) -> None:
        """Remove a file and what is known of its chunks."""
        with self._database.transaction() as rows:
            rows.execute("DELETE FROM slices WHERE blob = ?", (sha256,))
            rows.execute("DELETE FROM cuts WHERE blob = ?", (sha256,))
        self.blob_path(sha256).unlink(missing_ok=True)

    def blob_names(self) -> list[str]:
        """Every file that is here, by hash."""
        return sorted(path.name for path in (self.folder / "blobs").iterdir() if SHA256.fullmatch(path.name))

    def remove_unfinished(self) -> int:
        """Remove what a killed command left half written; return how many files. Call it under the lock."""
        left = [path for path in (self.folder / "blobs").iterdir() if path.name.startswith(_UNFINISHED)]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def _add(self, source: BinaryIO) -> str:
        blobs = self.folder / "blobs"
        with (
            _no_room_in_plain_english(blobs),
            NamedTemporaryFile(dir=blobs, prefix=_UNFINISHED, delete=False) as beside,
        ):
            fresh = Path(beside.name)
            try:
                sha256 = _copy(source, beside)
                rename_durably(fresh, self.blob_path(sha256))
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
def _no_room_in_plain_english(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as trouble:
        if trouble.errno not in _NO_ROOM:
            raise
        raise NoRoom(f"no room to write in {folder}", hint="free some space on that disk and run it again") from None
