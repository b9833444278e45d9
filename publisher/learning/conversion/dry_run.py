"""Rejects a network that cannot be converted before its training. Needs TensorFlow."""

from __future__ import annotations

from typing import Any, Final

from protocol.errors import BadInput, BadModel
from publisher.learning.conversion.tflite_converter import to_float32
from publisher.learning.data.dataset import Floats
from publisher.learning.measurement.inspection import inspect

# networks of these always convert, and are not tried
COMMON_LAYERS: Final = frozenset(
    ("InputLayer", "Dense", "Conv2D", "DepthwiseConv2D", "MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D",
     "Flatten", "Reshape", "Dropout", "BatchNormalization", "ReLU", "Softmax", "Conv1D", "MaxPooling1D",
     "GlobalAveragePooling1D", "UpSampling2D", "ZeroPadding2D", "Concatenate", "Add")
)  # fmt: skip
COMMON_ACTIVATIONS: Final = frozenset((None, "linear", "relu", "sigmoid", "softmax", "tanh"))
NO_CALIBRATION: Final[tuple[Floats, ...]] = ()  # floats need none


def check_converts(network: Any, source: str, error: type[BadInput]) -> None:
    """Convert it, and open the file as a device would. Raises `error` with `source`."""
    if all(_is_common(layer) for layer in network.layers):
        return
    try:
        inspect(to_float32(network, NO_CALIBRATION), name="the network as a .tflite file")
    except BadModel as bad:
        raise error(f"{source}: {bad.message}", hint=bad.hint) from bad


def _is_common(layer: Any) -> bool:
    if type(layer).__name__ not in COMMON_LAYERS or type(layer).__module__.partition(".")[0] != "tf_keras":
        return False
    config = layer.get_config()
    return config.get("activation") in COMMON_ACTIVATIONS and layer.dtype == layer.compute_dtype == "float32"
