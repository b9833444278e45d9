"""The registry as a whole: made, opened, locked and closed. What it keeps is on its shelves, one module each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Self

from protocol.errors import BadInput
from publisher.adapters.key_store import FOLDER_MODE, KeyStore
from publisher.adapters.registry import lock
from publisher.adapters.registry.announcements import Announcements
from publisher.adapters.registry.database import Database
from publisher.adapters.registry.devices import Devices
from publisher.adapters.registry.trainings import Trainings
from publisher.adapters.registry.uploads import Uploads
from publisher.adapters.registry.versions import Versions

DATABASE: Final = "registry.db"


class Registry(Versions, Announcements, Uploads, Trainings, Devices):
    """A registry on disk. Every method that changes something is one transaction."""

    @classmethod
    def create(cls, folder: Path) -> Registry:
        """Make a registry, or go on with one that was killed before it had metadata. Raises BadInput on a whole one."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "blobs").mkdir(exist_ok=True)
            (folder / "keys").mkdir(mode=FOLDER_MODE, exist_ok=True)
        except OSError as refused:
            raise BadInput(f"no registry can be made at {folder}: {refused.strerror}") from None
        registry = cls(folder, Database(folder / DATABASE, create=True))
        if registry.metadata():
            registry.close()
            raise BadInput(f"{folder} is a registry already", hint="use it as it is, or choose another folder")
        return registry

    @classmethod
    def open(cls, folder: Path) -> Registry:
        """Open a registry. Raises BadInput when there is none, Damaged when its database is."""
        if not (folder / DATABASE).is_file() or not (folder / "blobs").is_dir():
            raise BadInput(f"{folder} is no registry", hint=f"make one with: publisher init --registry '{folder}'")
        return cls(folder, Database(folder / DATABASE))

    def lock(self, wait_s: float = 0.0, on_wait: Callable[[str], None] | None = None) -> AbstractContextManager[None]:
        """Keep other commands off for a block's time. `on_wait` is told who holds it. Raises Busy after `wait_s`."""
        return lock.hold(self.folder / "lock", wait_s=wait_s, on_wait=on_wait)

    @property
    def keys(self) -> KeyStore:
        """The private keys."""
        return KeyStore(self.folder / "keys")

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
