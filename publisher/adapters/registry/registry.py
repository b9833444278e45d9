"""`Registry`: one attribute per table; each change of a table is a transaction."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Self

from protocol.errors import BadInput
from publisher.adapters.key_store import FOLDER_MODE, KeyStore
from publisher.adapters.registry import lock
from publisher.adapters.registry.announcements import Announcements
from publisher.adapters.registry.blobs import Blobs
from publisher.adapters.registry.chunk_index import ChunkIndex
from publisher.adapters.registry.database import RegistryDatabase
from publisher.adapters.registry.devices import Devices
from publisher.adapters.registry.registry_settings import RegistrySettings
from publisher.adapters.registry.trainings import Trainings
from publisher.adapters.registry.uploads import Uploads
from publisher.adapters.registry.versions import Versions

DATABASE: Final = "registry.db"
BLOBS: Final = "blobs"
KEYS: Final = "keys"


class Registry:
    def __init__(self, folder: Path, database: RegistryDatabase) -> None:
        self.folder = folder
        self.keys = KeyStore(folder / KEYS)
        self.blobs = Blobs(folder / BLOBS)
        self.chunks = ChunkIndex(database, self.blobs)
        self.versions = Versions(database)
        self.announcements = Announcements(database)
        self.uploads = Uploads(database)
        self.trainings = Trainings(database)
        self.devices = Devices(database)
        self.settings = RegistrySettings(database)
        self._database = database

    @classmethod
    def create(cls, folder: Path) -> Self:
        """Make a registry, or finish a killed `create`. Raises BadInput."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / BLOBS).mkdir(exist_ok=True)
            (folder / KEYS).mkdir(mode=FOLDER_MODE, exist_ok=True)
        except OSError as refused:
            raise BadInput(f"no registry can be made at {folder}: {refused.strerror}") from None
        registry = cls(folder, RegistryDatabase(folder / DATABASE, create=True))
        if registry.announcements.metadata():
            registry.close()
            raise BadInput(f"{folder} is a registry already", hint="use it as it is, or choose another folder")
        return registry

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a registry. Raises BadInput if there is none, Damaged."""
        if not is_registry(folder) or not (folder / BLOBS).is_dir():
            raise BadInput(f"{folder} is no registry", hint=f"make one with: publisher init --registry '{folder}'")
        return cls(folder, RegistryDatabase(folder / DATABASE))

    def lock(self, wait_s: float = 0.0, on_wait: Callable[[str], None] | None = None) -> AbstractContextManager[None]:
        """Exclude other commands (see `lock.hold`). Raises Busy."""
        return lock.hold(self.folder / "lock", wait_s=wait_s, on_wait=on_wait)

    def orphans(self) -> list[str]:
        """The hashes of blobs that no version needs. Call it under the lock."""
        needed = self.versions.needed_blobs(self.chunks)
        return [sha256 for sha256 in self.blobs.names() if sha256 not in needed]

    def discard_blob(self, sha256: str) -> None:
        self.chunks.forget_blob(sha256)
        self.blobs.remove(sha256)

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_registry(folder: Path) -> bool:
    return (folder / DATABASE).is_file()
