"""The files of one version, as an application reads them without mixing versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from device_client.adapters.storage.version_folders import hold_folder
from device_client.ports.serving import ModelFile
from protocol.errors import BadInput, MissingPart

ATTEMPTS: Final = 5  # a folder is removed two versions later at the earliest


class ModelFiles(Mapping[str, Path]):
    """The paths of a version's files by name; `model.tflite` is one of them."""

    def __init__(self, model: ModelFile) -> None:
        self._paths = model.files
        self.version = model.version
        self.variant = model.variant

    def __getitem__(self, name: str) -> Path:
        """Raises BadInput for a name that the version does not have."""
        path = self._paths.get(name)
        if path is None:
            raise BadInput(
                f"version {self.version} has no file {name!r}",
                hint=f"it has {', '.join(self)}; `publisher release --file NAME=PATH` adds one",
            )
        return path

    def __contains__(self, name: object) -> bool:
        return name in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


@contextmanager
def held_files(live: Callable[[], ModelFile]) -> Iterator[ModelFiles]:
    """The files of the version that `live` returns, which stay for the block."""
    for _ in range(ATTEMPTS):
        files = ModelFiles(live())
        with hold_folder(files["model.tflite"].parent) as held:
            if held:
                yield files
                return
    raise MissingPart(
        f"the files of version {files.version} are gone", hint="someone removes them from the state folder"
    )
