"""Records trainings in the registry, and reads what a new one takes from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from protocol.errors import BadInput, BlobDamaged
from publisher.adapters.registry import Registry, is_registry
from publisher.core.release.reproducibility import Repetition, TrainingRecord, repeated
from publisher.learning.artifacts.build import BuiltVersion
from publisher.learning.data.calibration import KeptCalibration
from publisher.learning.training.warm_start import WarmStart, read_calibration
from publisher.learning.variants.schedule import ANEW
from publisher.operations.progress import Progress

RECIPE: Final = "recipe"  # the `source` of a version that was trained here


@contextmanager
def open_history(folder: Path, progress: Progress, *, required: bool) -> Iterator[Registry | None]:
    """The registry at `folder`; None without one, if not required. Raises BadInput."""
    if not required and not is_registry(folder):
        progress.report(f"{folder} is no registry: this training is not remembered")
        yield None
        return
    with Registry.open(folder) as registry:
        yield registry


def record_training(
    registry: Registry, model: str, built: BuiltVersion, now: datetime
) -> tuple[TrainingRecord, Repetition | None]:
    """Record a training, and compare it with the last one of equal inputs."""
    files = {variant.name: hashlib.sha256(variant.tflite).hexdigest() for variant in built.variants}
    earlier = registry.trainings.of_model(model)
    record = registry.trainings.add(model, built.lineage, files, now)
    return record, repeated(earlier, record)


def describe_record(record: TrainingRecord, repetition: Repetition | None) -> str:
    text = f"kept as training {record.number} of {record.model}"
    return text if repetition is None else f"{text}: {repetition.sentence()}"


def warm_start(registry: Registry, model: str, version: str, recipe: str) -> WarmStart:
    """Reads what continues a version. Raises UnknownVersion, BadInput, BlobDamaged."""
    lineage = registry.versions.lineage(model, version)
    if lineage.get("source") != RECIPE:
        raise BadInput(
            f"{model} {version} was made from the file {lineage.get('file', '?')}, not trained from a recipe",
            hint="there are no weights to go on from: train a recipe without --from",
        )
    if lineage["recipe"] != recipe:
        raise BadInput(
            f"{model} {version} was trained from the recipe {lineage['recipe']}, not from {recipe}",
            hint=f"give --recipe {lineage['recipe']} (or its file), or leave out --from",
        )
    weights = _read_blob(registry, lineage.get("weights_sha256"), f"the weights of {model} {version}")
    calibration = _read_blob(registry, lineage.get("calibration_sha256"), f"the calibration set of {model} {version}")
    networks = {
        stage: _read_blob(registry, sha256, f"the weights of {stage} of {model} {version}")
        for stage, sha256 in lineage.get("networks_sha256", {}).items()
    }
    return WarmStart(version, weights, read_calibration(calibration), networks)


def kept_calibration(registry: Registry, model: str, version: str | None = None) -> KeptCalibration | None:
    """The newest one, or that of `version`. Raises UnknownVersion, BlobDamaged."""
    for each in reversed(registry.versions.of_model(model) if version is None else [version]):
        lineage = registry.versions.lineage(model, each)
        sha256 = lineage.get("calibration_sha256")
        if sha256 is not None and registry.blobs.has(sha256):
            content = _read_blob(registry, sha256, f"the calibration set of {model} {each}")
            return KeptCalibration(lineage.get("calibration_of") or each, read_calibration(content))
    return None


def describe_new_calibration(lineage: Mapping[str, Any]) -> Iterator[str]:
    if lineage.get("calibration_anew"):
        yield f"a new calibration set is drawn: {lineage['calibration_anew']}"


def describe_new_networks(lineage: Mapping[str, Any]) -> Iterator[str]:
    """A line for each variant whose network the earlier version does not have."""
    for name, origin in lineage.get("continued", {}).items():
        if ANEW in origin:
            yield f"{name} goes on from {origin}"


def _read_blob(registry: Registry, sha256: str | None, what: str) -> bytes:
    if sha256 is None or not registry.blobs.has(sha256):
        raise BadInput(f"{what} are not in the registry", hint="leave out --from, and it is trained afresh")
    path = registry.blobs.path(sha256)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BlobDamaged(f"{what} in {path} have changed", hint="bring the file back from your backup")
    return content
