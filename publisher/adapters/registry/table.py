"""What every part of the registry stands on: the folder and its database."""

from __future__ import annotations

from pathlib import Path

from publisher.adapters.registry.database import Database


class Table:
    """A part of the registry that keeps one kind of thing."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        self._database = database
