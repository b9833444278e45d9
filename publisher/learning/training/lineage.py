"""The lineage of a version as plain JSON, to trace and to repeat a release."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from publisher.learning.data.calibration import Calibration
from publisher.learning.tensorflow_import import versions
from publisher.learning.training.train import TrainingResult
from publisher.learning.training.warm_start import calibration_npz, weights_npz
from publisher.learning.variants.rung import Rung

BARE_AS_IT_IS: Final = (
    "a .tflite file has no layers: it is released as it is, not trained, pruned, clustered or quantized;"
    " give the Keras file that it was made from with --keras for int8, or a recipe for all of the ladder"
)


def lineage_of(trained: TrainingResult) -> dict[str, Any]:
    """Recipe, data, settings, parent version, library versions and training history."""
    weights, calibration = kept_files(trained)
    return {
        **origin_of(trained),
        "data_sha256": trained.data_sha256,
        "parent": trained.parent,
        "settings": dataclasses.asdict(trained.settings),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "calibration_sha256": hashlib.sha256(calibration).hexdigest(),
        **_calibrated(trained.calibration),
        "versions": trained.versions,
        "accuracy": trained.accuracy,
        "history": [dataclasses.asdict(epoch) for epoch in trained.history],
    }


def lineage_of_rungs(rungs: Sequence[Rung], continued: Mapping[str, str], kept: Mapping[str, bytes]) -> dict[str, Any]:
    """Techniques, what each rung continues, and hashes of the `kept` networks."""
    facts: dict[str, Any] = {
        "techniques": {rung.name: rung.technique for rung in rungs},
        "continued": dict(continued),
        "networks_sha256": {name: hashlib.sha256(weights).hexdigest() for name, weights in kept.items()},
    }
    return {key: value for key, value in facts.items() if value}


def origin_of(trained: TrainingResult) -> dict[str, Any]:
    """Name and hash of the recipe or the model file."""
    if trained.source == "recipe":
        return {"source": "recipe", "recipe": trained.recipe.name, "recipe_sha256": trained.recipe_sha256}
    return {"source": trained.source, "file": trained.recipe.path.name, "file_sha256": trained.recipe_sha256}


def kept_files(trained: TrainingResult) -> tuple[bytes, bytes]:
    """The weights and the calibration set as files, for a later version to continue."""
    return weights_npz(trained.model), calibration_npz(trained.calibration.samples)


def lineage_of_file(path: Path, tflite: bytes, data: Path | None) -> dict[str, Any]:
    return {
        "source": "tflite",
        "file": path.name,
        "file_sha256": hashlib.sha256(tflite).hexdigest(),
        "data_sha256": None if data is None else hash_of(data),
        "not_done": [BARE_AS_IT_IS],
        "versions": versions(),
    }


def lineage_of_keras(
    path: Path, data: Path | None, calibration: Calibration | None, left_out: Mapping[str, str]
) -> dict[str, Any]:
    """Hashes of a Keras file, its data and calibration set, and what was left out."""
    kept = None if calibration is None else calibration_npz(calibration.samples)
    return {
        "source": "keras",
        "file": path.name,
        "file_sha256": hash_of(path),
        "data_sha256": None if data is None else hash_of(data),
        "calibration_sha256": None if kept is None else hashlib.sha256(kept).hexdigest(),
        **({} if calibration is None else _calibrated(calibration)),
        "not_done": [f"{name} is left out: {why}" for name, why in left_out.items()],
        "versions": versions(),
    }


def _calibrated(calibration: Calibration) -> dict[str, Any]:
    """The version a calibration set was drawn for, and why it replaced one, if so."""
    facts = {"calibration_of": calibration.version}
    return facts | {"calibration_anew": calibration.redrawn_because} if calibration.redrawn_because else facts


def hash_of(path: Path) -> str:
    """The SHA-256 of a file, or of the names and hashes of a folder's files."""
    if not path.is_dir():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    lines = (f"{hash_of(file)} {file.relative_to(path)}\n" for file in sorted(path.rglob("*")) if file.is_file())
    return hashlib.sha256("".join(lines).encode()).hexdigest()
