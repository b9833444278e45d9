"""Names of files and folders in a device's state folder."""

from __future__ import annotations

from pathlib import Path
from typing import Final

JOURNAL: Final = "journal.db"
HOLD: Final = "hold"  # holds updates while it exists; its text is the reason
CURRENT: Final = "current.tflite"  # in a model's folder, a link to the live file
CURRENT_FOLDER: Final = "current"  # in a model's folder, a link to the folder of the live version
VERSIONS: Final = "versions"  # in a model's folder, a folder of links for each version
FILES: Final = "files"  # in a model's folder, whole files named by their SHA-256


def model_folder(state: Path, model: str) -> Path:
    return state / "models" / model


def model_file(state: Path, model: str, sha256: str) -> Path:
    return model_folder(state, model) / FILES / sha256
