"""Converts a tf_keras model to .tflite, float32 in and out. Needs TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from protocol.errors import FerryError
from publisher.learning.conversion.converter_errors import conversion_error
from publisher.learning.data.dataset import Floats
from publisher.learning.quiet_tensorflow import silence_tensorflow
from publisher.learning.tensorflow_import import load_tensorflow


def to_float32(model: Any, _calibration: Floats) -> bytes:
    """Convert without loss. Raises BadModel, as the others do."""
    return run_converter(_converter(model))


def to_int8(model: Any, calibration: Floats) -> bytes:
    """Weights and activations in 8 bits; `calibration` is (samples, features …)."""
    return run_int8_converter(_converter(model), calibration)


def to_float16(model: Any, _calibration: Floats) -> bytes:
    """Weights in 16 bits, which the runtime expands to 32 as it opens the file."""
    tf = load_tensorflow()
    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return run_converter(converter)


def to_dynamic(model: Any, _calibration: Floats) -> bytes:
    """Weights in 8 bits, floats between; a network with trained ranges: integers."""
    tf = load_tensorflow()
    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # else it writes FULLY_CONNECTED version 12, which tflite-runtime 2.14 does not know
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    return run_converter(converter)


CONVERSIONS: Final[dict[str, Callable[[Any, Floats], bytes]]] = {
    "float32": to_float32,
    "float16": to_float16,
    "dynamic": to_dynamic,
    "int8": to_int8,
    "qat": to_dynamic,
}


def _converter(model: Any) -> Any:
    tf = load_tensorflow()
    with silence_tensorflow():
        return tf.lite.TFLiteConverter.from_keras_model(model)


def run_converter(converter: Any) -> bytes:
    """Run a TFLiteConverter. Raises BadModel."""
    with silence_tensorflow():
        try:
            return bytes(converter.convert())
        except (FerryError, MemoryError):
            raise
        except Exception as failure:  # it raises errors of many kinds, pages long
            raise conversion_error(failure) from failure


def run_int8_converter(converter: Any, calibration: Floats) -> bytes:
    """Integers throughout, except for QUANTIZE and DEQUANTIZE at the ends."""
    tf = load_tensorflow()

    def representative() -> Iterator[list[Floats]]:
        for index in range(len(calibration)):
            yield [calibration[index : index + 1]]

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return run_converter(converter)
