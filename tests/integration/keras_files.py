"""Small files of Keras 2, Keras 3 and TensorFlow; `make` is for `once_per_run`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

SAVED = ("flowers.h5", "flowers.keras", "flowers-saved", "flowers-3.keras")  # 4 -> 8 -> 3, softmax
WITH_CODE = {
    "lambda.h5": "a Lambda layer",
    "lambda.keras": "a Lambda layer",
    "lambda-saved": "a Lambda layer",
    "gadget.keras": "system of the module os",
}


def make(folder: Path) -> None:
    """Write every file of the tables above and `data.npz`, in about ten seconds."""
    quiet = {
        **os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "TF_USE_LEGACY_KERAS": "1",
        "KERAS_BACKEND": "tensorflow",
    }  # fmt: skip
    run = subprocess.run(
        [sys.executable, __file__, str(folder)], env=quiet, capture_output=True, text=True, timeout=500, check=False
    )
    assert run.returncode == 0, run.stderr


def data() -> tuple[np.ndarray[Any, np.dtype[np.float32]], np.ndarray[Any, np.dtype[np.int64]]]:
    """120 samples of four numbers; the class is the argmax of the first three."""
    x = np.random.default_rng(5).uniform(0, 1, (120, 4)).astype(np.float32)
    return x, x[:, :3].argmax(axis=1).astype(np.int64)


def _write(folder: Path) -> None:
    import keras as keras_3  # type: ignore[import-untyped] # it ships no types
    import tensorflow  # these take seconds: only in this process
    import tf_keras as keras

    x, y = data()
    np.savez(folder / "data.npz", x=x, y=y)

    def network(of: Any, *middle: Any) -> Any:
        of.utils.set_random_seed(1)
        layers = [of.layers.Dense(8, "relu"), *middle, of.layers.Dense(3, "softmax")]
        return of.Sequential([of.layers.Input((4,)), *layers])

    flowers = network(keras)
    flowers.compile(keras.optimizers.Adam(0.03), "sparse_categorical_crossentropy")
    flowers.fit(x, y, epochs=60, verbose=0)
    for name in ("flowers.h5", "flowers.keras", "flowers-saved"):
        flowers.save(folder / name)
    flowers.save_weights(folder / "weights.h5")
    three = network(keras_3)
    three.set_weights(flowers.get_weights())
    three.save(folder / "flowers-3.keras")
    with_code = network(keras, keras.layers.Lambda(lambda values: values * 2))
    for name in ("lambda.h5", "lambda.keras", "lambda-saved"):
        with_code.save(folder / name)
    one, two = keras.layers.Input((4,)), keras.layers.Input((2,))
    joined = keras.layers.Concatenate()([one, two])
    keras.Model([one, two], keras.layers.Dense(3, "softmax")(joined)).save(folder / "pair.keras")
    taken = keras.layers.Input((4,))
    computed = tensorflow.math.erfinv(taken / 2)  # the device's runtime has no such operation
    keras.Model(taken, keras.layers.Dense(3, "softmax")(computed)).save(folder / "erfinv.keras")
    _write_changed(folder / "flowers.keras", folder / "gadget.keras", '"softmax"', _gadget())
    _write_changed(folder / "flowers.keras", folder / "unknown.keras", '"class_name": "Dense"', '"class_name": "Denze"')


def _gadget() -> str:
    """An activation of another module, which Keras 2 would import and call."""
    return json.dumps({"module": "os", "class_name": "function", "config": "system", "registered_name": "system"})


def _write_changed(whole: Path, other: Path, before: str, after: str) -> None:
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(other, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                assert before in content.decode()
                content = content.decode().replace(before, after).encode()
            target.writestr(name, content)


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
