"""What the next version goes on from: the weights of trained networks and their calibration set, kept beside a version.

All are .npz files of plain arrays whose bytes depend on their contents alone. Where zeros and clusters are, and which
ranges integers have, stands in the weights. Imports no TensorFlow.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from protocol.errors import BadRecipe, BlobDamaged
from publisher.learning.data.dataset import Array, Floats
from publisher.learning.measurement.golden_set import npz_bytes
from publisher.learning.variants.variant_spec import PARENT

CALIBRATION: Final = "x"  # the one array of a kept calibration set
AFRESH: Final = "leave out --from, and it is trained afresh"


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Where a training goes on: the version, its weights, and the samples (n, features …) it was calibrated with.

    `networks` are the weights of the compressed ones that it was released in, by the name of their stage.
    """

    version: str
    weights: bytes
    calibration: Floats | None = None
    networks: Mapping[str, bytes] = field(default_factory=dict)


def weights_npz(network: Any) -> bytes:
    """The weights of a tf_keras.Model, in their order and by their names."""
    return npz_bytes(dict(zip(_names(network), network.get_weights(), strict=True)))


def put_weights(network: Any, start: Start, where: str, name: str = PARENT) -> None:
    """Give a fresh network the weights that the network `name` of an earlier version has; `where` tells who built it.

    Raises BadRecipe where it is another network.
    """
    whose = f"version {start.version}" if name == PARENT else f"{name} of version {start.version}"
    kept = _arrays(start.weights if name == PARENT else start.networks[name])
    fresh = dict(zip(_names(network), network.get_weights(), strict=True))
    _check_shapes(fresh, kept, where, whose)
    if list(kept) != list(fresh):
        other = next(iter(set(kept).symmetric_difference(fresh)), "their order")
        raise BadRecipe(f"{where} makes another network than {whose} has: {_told(other)}", hint=AFRESH)
    network.set_weights([kept[name].astype(values.dtype) for name, values in fresh.items()])


def check_fits(network: Any, start: Start, where: str, names: Iterable[str]) -> None:
    """Refuse what `put_weights` would refuse after minutes of training, as far as the bare network shows it.

    What knows of integers has more weights than these. Raises BadRecipe.
    """
    fresh = dict(zip(_names(network), network.get_weights(), strict=True))
    for name in names:
        kept = _arrays(start.networks[name])
        whose = f"{name} of version {start.version}"
        _check_shapes(_by_plain_name(fresh), _by_plain_name(kept), where, whose)
        lost = [plain for plain in _by_plain_name(fresh) if plain not in _by_plain_name(kept)]
        if lost:
            raise BadRecipe(f"{where} makes another network than {whose} has: {lost[0]}", hint=AFRESH)


def calibration_npz(calibration: Floats) -> bytes:
    """A calibration set as a file."""
    return npz_bytes({CALIBRATION: calibration})


def read_calibration(content: bytes) -> Floats:
    """A kept calibration set. Raises BlobDamaged."""
    arrays = _arrays(content)
    if CALIBRATION not in arrays:
        raise BlobDamaged("the kept calibration set has no samples", hint="bring the registry back from your backup")
    return arrays[CALIBRATION].astype(np.float32)


def _check_shapes(fresh: Mapping[str, Array], kept: Mapping[str, Array], where: str, whose: str) -> None:
    for name, values in fresh.items():
        if name in kept and values.shape != kept[name].shape:
            raise BadRecipe(
                f"{where}: {_told(name)} has shape {list(values.shape)}, in {whose} it has {list(kept[name].shape)}",
                hint=AFRESH,
            )


def _by_plain_name(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {_told(name): values for name, values in arrays.items()}


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
