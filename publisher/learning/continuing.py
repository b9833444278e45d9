"""What the next version goes on from: a trained network's weights and its calibration set, kept beside the version.

Both are .npz files of plain arrays whose bytes depend on their contents alone. Imports no TensorFlow.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from protocol.errors import BadRecipe, BlobDamaged
from publisher.learning.data import Array, Floats
from publisher.learning.golden import npz_bytes

CALIBRATION: Final = "x"  # the one array of a kept calibration set
AFRESH: Final = "leave out --from, and it is trained afresh"


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Where a training goes on: the version, its weights, and the samples (n, features …) it was calibrated with."""

    version: str
    weights: bytes
    calibration: Floats | None = None


def weights_npz(network: Any) -> bytes:
    """The weights of a tf_keras.Model, in their order and by their names."""
    return npz_bytes(dict(zip(_names(network), network.get_weights(), strict=True)))


def put_weights(network: Any, start: Start, recipe: str) -> None:
    """Give a fresh network the weights of an earlier version. Raises BadRecipe where it is another network."""
    kept = _arrays(start.weights)
    fresh = dict(zip(_names(network), network.get_weights(), strict=True))
    if list(kept) != list(fresh):
        other = next(iter(set(kept).symmetric_difference(fresh)), "their order")
        raise BadRecipe(
            f"build_model() in {recipe} makes another network than version {start.version} has: {_told(other)}",
            hint=AFRESH,
        )
    for name, values in fresh.items():
        if values.shape != kept[name].shape:
            raise BadRecipe(
                f"build_model() in {recipe}: {_told(name)} has shape {list(values.shape)},"
                f" in version {start.version} it has {list(kept[name].shape)}",
                hint=AFRESH,
            )
    network.set_weights([kept[name].astype(values.dtype) for name, values in fresh.items()])


def calibration_npz(calibration: Floats) -> bytes:
    """A calibration set as a file."""
    return npz_bytes({CALIBRATION: calibration})


def read_calibration(content: bytes) -> Floats:
    """A kept calibration set. Raises BlobDamaged."""
    arrays = _arrays(content)
    if CALIBRATION not in arrays:
        raise BlobDamaged("the kept calibration set has no samples", hint="bring the registry back from your backup")
    return arrays[CALIBRATION].astype(np.float32)


def _names(network: Any) -> list[str]:
    """Names of weights, numbered: a network may use one name twice."""
    return [f"{index:03d}|{weight.name}" for index, weight in enumerate(network.weights)]


def _told(name: str) -> str:
    return name.partition("|")[2] or name


def _arrays(content: bytes) -> dict[str, Array]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as refused:
        raise BlobDamaged(
            f"what was kept of a trained network cannot be read: {refused}",
            hint="bring the registry back from your backup",
        ) from refused
