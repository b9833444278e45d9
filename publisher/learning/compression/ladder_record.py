"""What a ladder has made so far, as files, so that an interrupted one can go on.

A record maps names of files to their bytes: weights of networks, files and figures of
rungs. It belongs to one set of inputs; for any other it starts empty.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Final

from protocol.errors import NoRoom
from protocol.host.files import write_durably

FOLDER: Final = "unfinished"  # in the folder of the ladder
INPUTS: Final = "inputs.json"
FILE_MODE: Final = 0o644
Record = MutableMapping[str, bytes]  # a dict where nothing needs to survive


class FolderRecord(MutableMapping[str, bytes]):
    """A record in a folder. An entry is whole or absent, also after a power cut."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, name: str) -> bytes:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            raise KeyError(name) from None

    def __setitem__(self, name: str, content: bytes) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_durably(self._folder / name, content, FILE_MODE)
        except OSError as trouble:
            raise NoRoom(
                f"{self._folder / name} cannot be written: {trouble.strerror}",
                hint="free some space; the same command then goes on from here",
            ) from None

    def __delitem__(self, name: str) -> None:
        try:
            (self._folder / name).unlink()
        except FileNotFoundError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        names = sorted(path.name for path in self._folder.iterdir()) if self._folder.is_dir() else []
        return iter(names)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def begin(self, inputs: Mapping[str, str]) -> str:
        """Keep the record if it has these inputs, else empty it; say what changed."""
        try:
            before = json.loads(self.get(INPUTS, b"{}"))
        except ValueError:
            before = {}
        changed = [name for name in dict.fromkeys((*before, *inputs)) if before.get(name) != inputs.get(name)]
        if changed:
            self.remove()
            self[INPUTS] = json.dumps(dict(inputs)).encode()
        return ", ".join(changed) if before else ""
