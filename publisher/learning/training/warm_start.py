"""Stores weights and calibration sets as .npz, for the next version to continue.

Their bytes depend on the arrays alone. Imports no TensorFlow.
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
RETRAIN_HINT: Final = "leave out --from, and it is trained afresh"


@dataclass(frozen=True, slots=True, eq=False)
class WarmStart:
    """The version to continue; `networks` are its compressed networks by name."""

    version: str
    weights: bytes
    calibration: Floats | None = None  # (samples, features …)
    networks: Mapping[str, bytes] = field(default_factory=dict)


def weights_npz(network: Any) -> bytes:
    """The weights of a tf_keras.Model by name, in their order."""
    return npz_bytes(_weights(network))


def put_weights(network: Any, start: WarmStart, where: str, name: str = PARENT) -> None:
    """Give a new network the weights `name` of an earlier version. Raises BadRecipe.

    `where` says in messages what built it.
    """
    whose = f"version {start.version}" if name == PARENT else f"{name} of version {start.version}"
    kept = _arrays(start.weights if name == PARENT else start.networks[name])
    fresh = _weights(network)
    _check_shapes(fresh, kept, where, whose)
    if list(kept) != list(fresh):
        other = next(iter(set(kept).symmetric_difference(fresh)), "their order")
        raise BadRecipe(f"{where} makes another network than {whose} has: {_bare(other)}", hint=RETRAIN_HINT)
    network.set_weights([kept[name].astype(values.dtype) for name, values in fresh.items()])


def check_fits(network: Any, start: WarmStart, where: str, names: Iterable[str]) -> None:
    """Reject early what `put_weights` rejects; quantization may have added weights."""
    fresh = _by_plain_name(_weights(network))
    for name in names:
        kept, whose = _by_plain_name(_arrays(start.networks[name])), f"{name} of version {start.version}"
        _check_shapes(fresh, kept, where, whose)
        if missing := next((plain for plain in fresh if plain not in kept), ""):
            raise BadRecipe(f"{where} makes another network than {whose} has: {missing}", hint=RETRAIN_HINT)


def calibration_npz(calibration: Floats) -> bytes:
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
                f"{where}: {_bare(name)} has shape {list(values.shape)}, in {whose} it has {list(kept[name].shape)}",
                hint=RETRAIN_HINT,
            )


def _by_plain_name(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {_bare(name): values for name, values in arrays.items()}


def _weights(network: Any) -> dict[str, Array]:
    """By numbered names, for a network may use a name twice."""
    names = [f"{index:03d}|{weight.name}" for index, weight in enumerate(network.weights)]
    return dict(zip(names, network.get_weights(), strict=True))


def _bare(name: str) -> str:
    return name.partition("|")[2] or name


def _arrays(content: bytes) -> dict[str, Array]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise BlobDamaged(
            f"what was kept of a trained network cannot be read: {error}",
            hint="bring the registry back from your backup",
        ) from error
