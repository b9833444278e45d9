"""Converts a tf_keras model to .tflite, float32 in and out. Needs TensorFlow.

A calibration set has an array (samples, features …) for each input of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from protocol.errors import BadModel, FerryError
from publisher.learning.conversion.converter_errors import conversion_error
from publisher.learning.conversion.recurrent_layers import loops_in, with_loops
from publisher.learning.conversion.serving_function import converter_of
from publisher.learning.data.dataset import Floats
from publisher.learning.data.network_inputs import file_name_of
from publisher.learning.quiet_tensorflow import silence_tensorflow
from publisher.learning.tensorflow_import import load_tensorflow


def to_float32(model: Any, _calibration: Sequence[Floats]) -> bytes:
    """Convert without loss. Raises BadModel, as the others do."""
    return run_converter(_converter(model))


def to_int8(model: Any, calibration: Sequence[Floats]) -> bytes:
    """Weights and activations in 8 bits. Raises BadModel for recurrent layers too."""
    if loops := loops_in(model):
        raise BadModel(
            f"the converter finds no ranges in loops, which the layers {', '.join(loops)} become",
            hint="take dynamic, which has their weights in 8 bits; or unroll=True for short sequences",
        )
    return run_int8_converter(_converter(model), calibration, names=[*map(file_name_of, model.input_names)])


def to_float16(model: Any, _calibration: Sequence[Floats]) -> bytes:
    """Weights in 16 bits, which the runtime expands to 32 as it opens the file."""
    tf = load_tensorflow()
    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return run_converter(converter)


def to_dynamic(model: Any, _calibration: Sequence[Floats]) -> bytes:
    """Weights in 8 bits, floats between; a network with trained ranges: integers."""
    tf = load_tensorflow()
    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # else it writes FULLY_CONNECTED version 12, which tflite-runtime 2.14 does not know
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    return run_converter(converter)


CONVERSIONS: Final[dict[str, Callable[[Any, Sequence[Floats]], bytes]]] = {
    "float32": to_float32,
    "float16": to_float16,
    "dynamic": to_dynamic,
    "int8": to_int8,
    "qat": to_dynamic,
}


def _converter(model: Any) -> Any:
    with _errors_told():
        return converter_of(with_loops(model))


def run_converter(converter: Any) -> bytes:
    """Run a TFLiteConverter. Raises BadModel."""
    with _errors_told(), silence_tensorflow():
        return bytes(converter.convert())


@contextmanager
def _errors_told() -> Iterator[None]:
    try:
        yield
    except (FerryError, MemoryError):
        raise
    except Exception as failure:  # TensorFlow raises errors of many kinds, pages long
        raise conversion_error(failure) from failure


def run_int8_converter(converter: Any, calibration: Sequence[Floats], *, names: Sequence[str] = ()) -> bytes:
    """Integers throughout, except for QUANTIZE and DEQUANTIZE at the ends.

    `names` are those of the inputs, if there is more than one: a file has them in
    another order than the network.
    """
    tf = load_tensorflow()

    def representative() -> Iterator[list[Floats] | dict[str, Floats]]:
        for index in range(len(calibration[0])):
            sample = [values[index : index + 1] for values in calibration]
            yield dict(zip(names, sample, strict=True)) if len(sample) > 1 else sample

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return run_converter(converter)
