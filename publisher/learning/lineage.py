"""Where a version came from, as plain JSON for the registry: enough to trace a release and to repeat it."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from publisher.learning.continuing import calibration_npz, weights_npz
from publisher.learning.frameworks import versions
from publisher.learning.train import Trained


def lineage_of(trained: Trained) -> dict[str, Any]:
    """Recipe, data and settings, the version it goes on from, library versions, and how training went."""
    weights, calibration = kept_files(trained)
    return {
        "source": "recipe",
        "recipe": trained.recipe.name,
        "recipe_sha256": trained.recipe_sha256,
        "data_sha256": trained.data_sha256,
        "parent": trained.parent,
        "settings": dataclasses.asdict(trained.settings),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "calibration_sha256": hashlib.sha256(calibration).hexdigest(),
        "versions": trained.versions,
        "accuracy": trained.accuracy,
        "history": [dataclasses.asdict(epoch) for epoch in trained.history],
    }


def kept_files(trained: Trained) -> tuple[bytes, bytes]:
    """The weights and the calibration set, as files: what a later version goes on from."""
    return weights_npz(trained.model), calibration_npz(trained.calibration)


def lineage_of_file(path: Path, tflite: bytes, data: Path | None) -> dict[str, Any]:
    """The file and the data beside it, by hash."""
    return {
        "source": "tflite",
        "file": path.name,
        "file_sha256": hashlib.sha256(tflite).hexdigest(),
        "data_sha256": None if data is None else hashlib.sha256(data.read_bytes()).hexdigest(),
        "versions": versions(),
    }
