"""Models for tests with whole devices: real digits releases, and a very large file.

`make_digits` and `make_large` are for `once_per_run`; `nudged` needs no training.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from publisher.learning.artifacts.build import BuiltVersion
    from publisher.learning.data.dataset import Data

PROJECT: Final = Path(__file__).resolve().parents[2]
LARGE_SIDE: Final = 3_900  # squared, times four bytes: 61 MB
MADE_WITHIN_S: Final = 550  # under pytest's own limit; the machine may be slow


def make_digits(folder: Path) -> None:
    """`held.npz`, `digits.tflite`, `1.0.0.made`, `1.1.0.made`.

    `1.2.0.made` has scrambled labels, `2.0.0.made` also turned and noisy digits.
    """
    _run("digits", folder)


def make_large(folder: Path) -> None:
    """`large.tflite`: one dense layer of noise, 61 MB."""
    _run("large", folder)


def made(folder: Path, version: str) -> BuiltVersion:
    """A version that `make_digits` built."""
    content: BuiltVersion = pickle.loads((folder / f"{version}.made").read_bytes())
    return content


def nudged(folder: Path, number: int) -> bytes:
    """The digits model with slightly different weights, but nearly the same output."""
    tflite = (folder / "digits.tflite").read_bytes()
    kernel = (folder / "kernel.bin").read_bytes()
    assert tflite.count(kernel) == 1
    weights = np.frombuffer(kernel, np.float32)
    noise: NDArray[np.float32] = np.random.default_rng(number).normal(0, 0.002, weights.shape).astype(np.float32)
    return tflite.replace(kernel, (weights + noise).astype(np.float32).tobytes())


def _run(what: str, folder: Path) -> None:
    """In a child process: TensorFlow takes much memory, and disturbs tflite-runtime."""
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, __file__, what, str(folder)]
    run = subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=MADE_WITHIN_S, check=False)
    assert run.returncode == 0, run.stderr


def _digits(folder: Path) -> None:
    from publisher.learning.artifacts.build import build_from_recipe
    from publisher.learning.recipe.heldout import write_heldout_npz
    from publisher.learning.recipe.recipe import load_recipe

    recipe = load_recipe("digits")
    write_heldout_npz(recipe, folder / "held.npz")
    for version, epochs, scrambled in (("1.0.0", 6, False), ("1.1.0", 10, False), ("1.2.0", 4, True)):
        release = build_from_recipe(recipe, epochs=epochs, scramble_labels=scrambled)
        (folder / f"{version}.made").write_bytes(pickle.dumps(release))
        if version == "1.0.0":
            tflite = next(variant.tflite for variant in release.variants if variant.name == "float32")
            (folder / "digits.tflite").write_bytes(tflite)
            (folder / "kernel.bin").write_bytes(_kernel(tflite))
    release = build_from_recipe(replace(recipe, data=_with_spoilt(recipe.data)), epochs=6, variants=("float32", "int8"))
    (folder / "2.0.0.made").write_bytes(pickle.dumps(release))


def _with_spoilt(data: Data) -> Data:
    """The same data and a copy with each digit turned and noisy by a random amount."""
    from bench.drifting import spoilt

    rng = np.random.default_rng(3)

    def both(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.concatenate([x, spoilt(x, rng.uniform(0, 50, len(x)), rng.uniform(0, 0.2, len(x)), rng)])

    return replace(
        data,
        x_train=both(data.x_train),
        y_train=np.tile(data.y_train, 2),
        x_test=both(data.x_test),
        y_test=np.tile(data.y_test, 2),
    )


def _kernel(tflite: bytes) -> bytes:
    """The first layer's weights as they are in the file."""
    import tensorflow as tf  # an interpreter that shows every tensor

    interpreter = tf.lite.Interpreter(model_content=tflite)
    interpreter.allocate_tensors()
    wanted = 784 * 128
    for facts in interpreter.get_tensor_details():
        if int(np.prod(facts["shape"])) == wanted and facts["dtype"] is np.float32:
            content: bytes = interpreter.get_tensor(facts["index"]).tobytes()
            if tflite.count(content) == 1:
                return content
    raise AssertionError("the file has no such layer")


def _large(folder: Path) -> None:
    import tf_keras as keras
    from tensorflow import lite

    noise = np.random.default_rng(3).normal(0, 0.02, (LARGE_SIDE, LARGE_SIDE)).astype(np.float32)
    network = keras.Sequential([keras.layers.Input((LARGE_SIDE,)), keras.layers.Dense(LARGE_SIDE, use_bias=False)])
    network.set_weights([noise])
    (folder / "large.tflite").write_bytes(lite.TFLiteConverter.from_keras_model(network).convert())


PROGRAMS: Final[dict[str, Callable[[Path], None]]] = {"digits": _digits, "large": _large}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](Path(sys.argv[2]))
