"""Tiny real .tflite files from a child process; `make` is for `once_per_run`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TYPES = ("uint8", "int8", "int16", "int32", "int64", "bool", "float16", "float64", "complex64", "string")
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
    *(f"same-{dtype}" for dtype in TYPES),  # (1, 3) -> (1, 3, 1), the same values
    "named",  # int32 (1,) -> text (1,): one of three names
    "boxes",  # 8 -> (n, 2): the places of values over 1, any number of them
    "dynamic-time",  # (1, time, 3) -> 2; convolves 4 steps, and fewer end the process
    "dynamic-hw",  # (1, height, width, 3) -> (1, height, width, 2)
    "fixed-batch-4",  # (4, 8) -> (4, 3), softmax
    "waveform",  # (100,) -> (1, 5): no batch at all
    "two-signatures",  # encode: x -> code; decode: by, code -> norm, x
    "sum-state",  # (1, 2), adds up its inputs in a variable; softmax
    "lstm-state",  # (1, 5, 4) -> (1, 2): a fused LSTM, which keeps its state between runs
    "detections",  # TFLite_Detection_PostProcess, a custom operation that the runtime has
    "unknown-custom",  # one that it has not
    "edgetpu",  # the one of Coral's accelerator
    "flex",  # one of full TensorFlow
)


def make(folder: Path) -> None:
    """Write every model of the table above, in about twenty seconds."""
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
    keras.utils.set_random_seed(6)
    layers = keras.layers
    recurrent = keras.Sequential([layers.Input((5, 4), batch_size=1), layers.LSTM(6), layers.Dense(2, "softmax")])
    write("lstm-state", recurrent)
    _write_kinds(folder)


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


def _write_kinds(folder: Path) -> None:
    """Of every type and shape, from functions."""
    import numpy as np
    import tensorflow as tf  # in this process only

    rng = np.random.default_rng(8)

    def weights(*shape: int) -> Any:
        return tf.constant(rng.normal(0, 1, shape), tf.float32)

    def write(name: str, function: Any, *inputs: Any, owner: Any = None, custom: bool = False) -> None:
        concrete = tf.function(function).get_concrete_function(*inputs)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], owner)
        converter.allow_custom_ops = custom
        if name == "flex":
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
        (folder / f"{name}.tflite").write_bytes(converter.convert())

    def given(*shape: int | None, dtype: str = "float32", name: str = "x") -> Any:
        return tf.TensorSpec(shape, tf.as_dtype(dtype), name)

    for dtype in TYPES:
        write(f"same-{dtype}", lambda x: tf.reshape(x, [1, 3, 1]), given(1, 3, dtype=dtype))
    names, mixing = tf.constant(["rose", "tulip", "daisy"]), weights(8, 3)
    write("named", lambda x: tf.gather(names, x), given(1, dtype="int32"))
    write("boxes", lambda x: tf.cast(tf.where(x > 1.0), tf.float32), given(1, 8))
    write("fixed-batch-4", lambda x: tf.nn.softmax(x @ mixing), given(4, 8))
    step, across, sound = weights(4, 3, 2), weights(3, 3, 3, 2), weights(100, 5)
    write("dynamic-time", lambda x: tf.reduce_mean(tf.nn.conv1d(x, step, 1, "VALID"), 1), given(1, None, 3))
    write("dynamic-hw", lambda x: tf.nn.conv2d(x, across, 1, "SAME"), given(1, None, None, 3))
    write("waveform", lambda x: x[None] @ sound, given(100))
    write("unknown-custom", tf.math.igamma, given(1, 3), given(1, 3, name="y"), custom=True)
    write("flex", tf.linalg.inv, given(3, 3))
    write("edgetpu", tf.math.digamma, given(1, 4), custom=True)
    _rename_custom(folder / "edgetpu.tflite", b"edgetpu-custom-op")

    class Total(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
        def __init__(self) -> None:
            self.total = tf.Variable(tf.fill([1, 2], 0.5))

        def add(self, x: Any) -> Any:
            self.total.assign(self.total * 0.9 + x)
            return tf.nn.softmax(self.total)

    total = Total()
    write("sum-state", total.add, given(1, 2), owner=total)
    _write_signatures(folder, given)
    _write_detections(folder, given)


def _write_signatures(folder: Path, given: Any) -> None:
    import tensorflow as tf  # in this process only

    encode = tf.function(lambda x: {"code": x * 2.0}).get_concrete_function(given(1, 3))
    decode = tf.function(lambda code, by: {"x": code / 2.0 + by, "norm": tf.reduce_sum(code, 1)})
    signatures = {
        "encode": encode,
        "decode": decode.get_concrete_function(given(1, 3, name="code"), given(1, 1, name="by")),
    }
    _write_saved(folder, "two-signatures", signatures)


def _write_saved(folder: Path, name: str, signatures: dict[str, Any]) -> None:
    import tensorflow as tf  # in this process only

    saved = str(folder / f"{name}.saved")
    tf.saved_model.save(tf.Module(), saved, signatures=signatures)
    converter = tf.lite.TFLiteConverter.from_saved_model(saved, signature_keys=list(signatures))
    converter.allow_custom_ops = True
    (folder / f"{name}.tflite").write_bytes(converter.convert())


def _write_detections(folder: Path, given: Any) -> None:
    """Four raw boxes and their scores for two classes; at most three are detected."""
    import tensorflow as tf  # in this process only

    options = {"max_detections": 3, "max_classes_per_detection": 1, "detections_per_class": 3, "num_classes": 2}
    scales = {"y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0}
    thresholds = {"nms_score_threshold": 0.3, "nms_iou_threshold": 0.5}
    words = [f'attr {{ key: "{key}" value {{ i: {value} }} }}' for key, value in options.items()]
    words += [f'attr {{ key: "{key}" value {{ f: {value} }} }}' for key, value in {**scales, **thresholds}.items()]
    words.append('attr { key: "use_regular_nms" value { b: false } }')
    implements = 'name: "TFLite_Detection_PostProcess" ' + " ".join(words)
    anchors = tf.constant([[0.2, 0.2, 0.3, 0.3], [0.7, 0.7, 0.3, 0.3], [0.5, 0.5, 0.9, 0.9], [0.2, 0.8, 0.2, 0.2]])

    @tf.function(experimental_implements=implements)  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def detect(boxes: Any, scores: Any, anchors: Any) -> Any:  # noqa: ARG001 - of the operation that replaces it
        return tf.zeros([1, 3, 4]), tf.zeros([1, 3]), tf.zeros([1, 3]), tf.zeros([1])

    specs = [given(1, 4, 4, name="boxes"), given(1, 4, 3, name="scores")]

    @tf.function(input_signature=specs)  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def found(boxes: Any, scores: Any) -> Any:
        outputs = detect(boxes, scores, anchors)
        return {f"output_{at}": output for at, output in enumerate(outputs)}

    _write_saved(folder, "detections", {"serving_default": found.get_concrete_function()})


def _rename_custom(tflite: Path, name: bytes) -> None:
    """Give the custom operation of a file another name."""
    from tensorflow.lite.tools import flatbuffer_utils  # in this process only

    model = flatbuffer_utils.read_model(str(tflite))
    for code in model.operatorCodes:
        if code.customCode:
            code.customCode = name
    flatbuffer_utils.write_model(model, str(tflite))


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
