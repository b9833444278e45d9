"""File operations that survive a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def rename_durably(source: Path, target: Path) -> None:
    """Rename, and flush both folders. The file's own bytes must be flushed already."""
    source.replace(target)
    for folder in {source.parent, target.parent}:
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Flush the folder's list of names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
