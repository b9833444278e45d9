"""Where a version came from, as plain JSON for the registry: enough to trace a release and to repeat it."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from publisher.learning.convert import calibration_set
from publisher.learning.frameworks import versions
from publisher.learning.train import Trained


def lineage_of(trained: Trained) -> dict[str, Any]:
    """Recipe, data and settings, library versions, and how training went."""
    return {
        "source": "recipe",
        "recipe": trained.recipe.name,
        "recipe_sha256": trained.recipe_sha256,
        "data_sha256": trained.data_sha256,
        "settings": dataclasses.asdict(trained.settings),
        "calibration_sha256": hashlib.sha256(calibration_set(trained.recipe.data.x_train).data).hexdigest(),
        "versions": trained.versions,
        "accuracy": trained.accuracy,
        "history": [dataclasses.asdict(epoch) for epoch in trained.history],
    }


def lineage_of_file(path: Path, tflite: bytes, data: Path | None) -> dict[str, Any]:
    """The file and the data beside it, by hash."""
    return {
        "source": "tflite",
        "file": path.name,
        "file_sha256": hashlib.sha256(tflite).hexdigest(),
        "data_sha256": None if data is None else hashlib.sha256(data.read_bytes()).hexdigest(),
        "versions": versions(),
    }
