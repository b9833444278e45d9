"""Image sets of `tf_keras.datasets`, from Keras' own folder or fetched by Keras."""

from __future__ import annotations

import gzip
import importlib
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from protocol.errors import BadRecipe, FerryError, MissingPart
from publisher.learning.quiet_tensorflow import silence_tensorflow

Bytes = npt.NDArray[np.uint8]
Four = tuple[Bytes, Bytes, Bytes, Bytes]

HOME: Final = "KERAS_HOME"  # Keras' own name for its folder; else ~/.keras
MNIST: Final = "mnist.npz"
FASHION: Final = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
UNPACKED_MAX_BYTES: Final = 100_000_000  # 60,000 images of 28x28 are 47 MB
IDX_UINT8: Final = 8  # the third byte of an IDX file that holds bytes


def mnist() -> Four:
    """70,000 digits (samples, 28, 28) uint8. Raises MissingPart, BadRecipe."""
    return _load("mnist", [datasets_folder() / MNIST], lambda paths: _read_npz(paths[0]))


def fashion_mnist() -> Four:
    """The same shapes, of clothes."""
    place = datasets_folder() / "fashion-mnist"
    return _load("fashion_mnist", [place / name for name in FASHION], _read_idx_files)


def datasets_folder() -> Path:
    home = os.environ.get(HOME)
    return (Path(home) if home else Path.home() / ".keras").expanduser() / "datasets"


def _load(name: str, paths: list[Path], read: Callable[[list[Path]], Four]) -> Four:
    if not all(path.is_file() for path in paths):
        return _fetch(name, paths)
    try:
        return read(paths)
    except (OSError, EOFError, KeyError, ValueError, struct.error, zlib.error, zipfile.BadZipFile) as error:
        raise BadRecipe(
            f"the data set {name} in {paths[0].parent} cannot be read: {error}",
            hint=f"remove {', '.join(path.name for path in paths)} there, and it is fetched again",
        ) from error


def _read_npz(path: Path) -> Four:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
        return held["x_train"], held["y_train"], held["x_test"], held["y_test"]


def _read_idx_files(paths: list[Path]) -> Four:
    x_train, y_train, x_test, y_test = (_read_idx(path) for path in paths)
    return x_train, y_train, x_test, y_test


def _read_idx(path: Path) -> Bytes:
    """An IDX file: two zeros, type, dimensions, each size as 32 bits, bytes."""
    with gzip.open(path) as packed:
        content = packed.read(UNPACKED_MAX_BYTES)
    zeros, kind, dimensions = struct.unpack_from(">HBB", content)
    if zeros != 0 or kind != IDX_UINT8:
        raise ValueError(f"{path.name} is no IDX file of bytes")
    shape = struct.unpack_from(f">{dimensions}I", content, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _fetch(name: str, paths: list[Path]) -> Four:
    """Let Keras fetch it into its folder; Keras checks the hash where it knows one."""
    try:
        with silence_tensorflow():
            keras: Any = importlib.import_module(f"tf_keras.datasets.{name}")
            (x_train, y_train), (x_test, y_test) = keras.load_data(cache_dir=str(datasets_folder().parent))
    except FerryError:
        raise
    except Exception as failure:
        reason = (str(failure).strip().splitlines() or [type(failure).__name__])[0][:200]
        raise MissingPart(
            f"the data set {name} is not in {paths[0].parent}, and it cannot be fetched: {reason}",
            hint=f"put {', '.join(path.name for path in paths)} into {paths[0].parent}, or set {HOME} to a folder that"
            " holds datasets/, or run this where there is a way to the internet",
        ) from failure
    return x_train, y_train, x_test, y_test
