"""Tiny real .tflite files from a child process; `make` is for `once_per_run`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

NAMES = (
    "flowers-float32",  # 4 -> 8 -> 3, softmax
    "flowers-int8-inside",  # the same, int8 with float32 edges
    "flowers-int8",  # the same, int8 to the edges
    "flowers-uint8",  # the same, int8 with uint8 edges
    "other-float32",  # the same shape, other weights
    "digits-float32",  # 784 -> 32 -> 10, softmax
    "level-float32",  # 4 -> 8 -> 1, no classes
    "pair-float32",  # two inputs (4 and 2), two outputs (3 and 1)
    "sparse",  # a 1 x 1 convolution, 9 of 10 weights zero, stored sparsely without block maps
    "big",  # 784 -> 500 -> 10: 1.6 MB that do not compress, so that an upload takes many chunks
)


def make(folder: Path) -> None:
    """Write every model of the table above, in about ten seconds."""
    quiet = {**os.environ, "TF_USE_LEGACY_KERAS": "1"}  # does not import Keras 3
    run = subprocess.run(
        [sys.executable, __file__, str(folder)], env=quiet, capture_output=True, text=True, timeout=500, check=False
    )
    assert run.returncode == 0, run.stderr


def _write(folder: Path) -> None:
    import numpy as np
    import tf_keras as keras  # TensorFlow takes seconds and hundreds of megabytes: only in this process
    from tensorflow import int8, lite, uint8  # the same

    rng = np.random.default_rng(7)

    def dense(sizes: tuple[int, ...], last: str, seed: int) -> object:
        keras.utils.set_random_seed(seed)
        layers = [keras.layers.Input((sizes[0],))]
        layers += [keras.layers.Dense(size, "relu") for size in sizes[1:-1]]
        return keras.Sequential([*layers, keras.layers.Dense(sizes[-1], last)])

    def write(name: str, network: object, samples: Any = None, edges: object = None, *, sparse: bool = False) -> None:
        converter = lite.TFLiteConverter.from_keras_model(network)
        if samples is not None:
            converter.optimizations = [lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([sample[None]] for sample in samples)
            converter.target_spec.supported_ops = [lite.OpsSet.TFLITE_BUILTINS_INT8]
        if edges is not None:
            converter.inference_input_type = converter.inference_output_type = edges
        if sparse:
            converter.optimizations = [lite.Optimize.EXPERIMENTAL_SPARSITY]
        (folder / f"{name}.tflite").write_bytes(converter.convert())

    flowers = dense((4, 8, 3), "softmax", seed=1)
    samples = rng.uniform(0, 1, (100, 4)).astype(np.float32)
    write("flowers-float32", flowers)
    write("flowers-int8-inside", flowers, samples)
    write("flowers-int8", flowers, samples, int8)
    write("flowers-uint8", flowers, samples, uint8)
    write("other-float32", dense((4, 8, 3), "softmax", seed=2))
    write("digits-float32", dense((784, 32, 10), "softmax", seed=3))
    write("level-float32", dense((4, 8, 1), "linear", seed=4))
    one, two = keras.layers.Input((4,)), keras.layers.Input((2,))
    joined = keras.layers.Concatenate()([one, two])
    pair = keras.Model([one, two], [keras.layers.Dense(3, "softmax")(joined), keras.layers.Dense(1)(joined)])
    write("pair-float32", pair)
    write("big", dense((784, 500, 10), "softmax", seed=5))
    write("sparse", keras.Sequential([keras.layers.Input((8, 8, 32), 1), _sparse_layer(keras, rng)]), sparse=True)
    _leave_out_block_maps(folder / "sparse.tflite")


def _sparse_layer(keras: Any, rng: Any) -> Any:
    kernel = rng.normal(size=(1, 1, 32, 64)) * (rng.random((1, 1, 32, 64)) > 0.9)
    return keras.layers.Conv2D(64, 1, use_bias=False, kernel_initializer=lambda *_, **__: kernel.astype("float32"))


def _leave_out_block_maps(path: Path) -> None:
    """As MediaPipe's converter does; TensorFlow's writes empty ones."""
    from tensorflow.lite.tools import flatbuffer_utils  # only in this process

    model = flatbuffer_utils.read_model(str(path))
    for tensor in model.subgraphs[0].tensors:
        if tensor.sparsity is not None:
            tensor.sparsity.blockMap = None
    flatbuffer_utils.write_model(model, str(path))


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
