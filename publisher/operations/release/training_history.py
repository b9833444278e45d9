"""Remembers trainings in the registry, says whether one repeated an earlier one, and finds what a new one goes on from.

Trains nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from protocol.errors import BadInput, BlobDamaged
from publisher.adapters.registry import Registry, is_registry
from publisher.core.release.reproducibility import Repetition, TrainingRecord, repeated
from publisher.operations.progress import Progress

if TYPE_CHECKING:  # these import numpy
    from publisher.learning.artifacts.build import BuiltVersion
    from publisher.learning.data.calibration import KeptCalibration
    from publisher.learning.training.warm_start import WarmStart

RECIPE: Final = "recipe"  # the source of what was trained here; a file that was brought along has another


@contextmanager
def a_history(folder: Path, progress: Progress, *, needed: bool) -> Iterator[Registry | None]:
    """The registry at `folder`; None where there is none and none is needed. Raises BadInput."""
    if not needed and not is_registry(folder):
        progress.report(f"{folder} is no registry: this training is not remembered")
        yield None
        return
    with Registry.open(folder) as registry:
        yield registry


def remember(
    registry: Registry, model: str, made: BuiltVersion, now: datetime
) -> tuple[TrainingRecord, Repetition | None]:
    """Keep a training and compare it with the last one that should have come to the same."""
    files = {variant.name: hashlib.sha256(variant.tflite).hexdigest() for variant in made.variants}
    earlier = registry.trainings.of_model(model)
    record = registry.trainings.add(model, made.lineage, files, now)
    return record, repeated(earlier, record)


def told(record: TrainingRecord, repetition: Repetition | None) -> str:
    """What a person hears of it."""
    if repetition is None:
        return f"kept as training {record.number} of {record.model}"
    return f"kept as training {record.number} of {record.model}: {repetition.sentence()}"


def start_from(registry: Registry, model: str, version: str, recipe: str) -> WarmStart:
    """What a training of `recipe` (its name) goes on from. Raises UnknownVersion, BadInput, BlobDamaged."""
    from publisher.learning.training.warm_start import WarmStart, read_calibration

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
    weights = _kept(registry, lineage.get("weights_sha256"), f"the weights of {model} {version}")
    calibration = _kept(registry, lineage.get("calibration_sha256"), f"the calibration set of {model} {version}")
    networks = {
        stage: _kept(registry, sha256, f"the weights of {stage} of {model} {version}")
        for stage, sha256 in lineage.get("networks_sha256", {}).items()
    }
    return WarmStart(version, weights, read_calibration(calibration), networks)


def kept_calibration(registry: Registry, model: str, version: str | None = None) -> KeptCalibration | None:
    """The calibration set of this version, or of the last one that has any. Raises UnknownVersion, BlobDamaged."""
    from publisher.learning.data.calibration import KeptCalibration
    from publisher.learning.training.warm_start import read_calibration

    for each in reversed(registry.versions.of_model(model) if version is None else [version]):
        lineage = registry.versions.lineage(model, each)
        sha256 = lineage.get("calibration_sha256")
        if sha256 is not None and registry.blobs.has(sha256):
            content = _kept(registry, sha256, f"the calibration set of {model} {each}")
            return KeptCalibration(lineage.get("calibration_of") or each, read_calibration(content))
    return None


def drawn_anew(lineage: Mapping[str, Any]) -> Iterator[str]:
    """A sentence where there was a calibration set to keep, and it was not kept."""
    if lineage.get("calibration_anew"):
        yield f"the calibration set is drawn anew: {lineage['calibration_anew']}"


def made_anew(lineage: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each variant that an earlier version could not give its network."""
    from publisher.learning.variants.schedule import ANEW

    for name, origin in lineage.get("continued", {}).items():
        if ANEW in origin:
            yield f"{name} goes on from {origin}"


def _kept(registry: Registry, sha256: str | None, what: str) -> bytes:
    if sha256 is None or not registry.blobs.has(sha256):
        raise BadInput(f"{what} are not in the registry", hint="leave out --from, and it is trained afresh")
    content = registry.blobs.path(sha256).read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BlobDamaged(
            f"{what} in {registry.blobs.path(sha256)} have changed", hint="bring the file back from your backup"
        )
    return content
