"""A trial before minutes of training: can a network that is not trained yet become a file that a device opens?

Needs TensorFlow. Where every layer is of the kinds below, which the converter knows, there is nothing to try.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from protocol.errors import BadInput, BadModel
from publisher.learning.conversion.tflite_converter import to_float32
from publisher.learning.measurement.inspection import inspect

PLAIN_LAYERS: Final = frozenset(
    ("InputLayer", "Dense", "Conv2D", "DepthwiseConv2D", "MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D",
     "Flatten", "Reshape", "Dropout", "BatchNormalization", "ReLU", "Softmax")
)  # fmt: skip
PLAIN_ACTIVATIONS: Final = frozenset((None, "linear", "relu", "sigmoid", "softmax", "tanh"))
NOTHING: Final = np.empty(0, np.float32)  # floats need no calibration


def check_converts(network: Any, who: str, refusal: type[BadInput]) -> None:
    """Convert it as it is, and open the file as a device would; `who` gives it, in messages. Raises `refusal`."""
    if all(_is_plain(layer) for layer in network.layers):
        return
    try:
        inspect(to_float32(network, NOTHING), name="the network as a .tflite file")
    except BadModel as why:
        raise refusal(f"{who}: {why.message}", hint=why.hint) from why


def _is_plain(layer: Any) -> bool:
    if type(layer).__name__ not in PLAIN_LAYERS or type(layer).__module__.partition(".")[0] != "tf_keras":
        return False
    told = layer.get_config()
    return told.get("activation") in PLAIN_ACTIVATIONS and layer.dtype == layer.compute_dtype == "float32"
