"""Converts recurrent layers as loops, not unrolled. Needs TensorFlow.

TensorFlow Lite's fused LSTM keeps its state from one inference to the next, unlike the
layer that was trained: a loop begins each sample anew, as the layer does, and is as
fast. A layer that is `stateful` in Keras stays a fused operation, for that is what it
means.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from publisher.learning.tensorflow_import import load_tf_keras

FUSES: Final = (
    "_could_use_gpu_kernel"  # of LSTM and GRU: makes the function that the converter replaces by a fused LSTM
)


def loops_in(network: Any) -> list[str]:
    """The names of layers that become loops over time steps."""
    return [layer.name for layer in _recurrent(network) if not layer.unroll and not layer.stateful]


def with_loops(network: Any) -> Any:
    """A copy for one sample at a time, which loops need; the network itself without."""
    if not loops_in(network):
        return network
    tf_keras = load_tf_keras()
    inputs = [
        tf_keras.Input(tensor.shape[1:], batch_size=1, name=tensor.name, dtype=tensor.dtype)
        for tensor in network.inputs
    ]
    copy = tf_keras.models.clone_model(network, input_tensors=inputs if len(inputs) > 1 else inputs[0])
    copy.set_weights(network.get_weights())
    for layer in _recurrent(copy):
        if hasattr(layer, FUSES):
            setattr(layer, FUSES, False)
    return copy


def _recurrent(network: Any) -> Iterator[Any]:
    """All recurrent layers, those in other layers too. A Keras 3 network has none."""
    tf_keras = load_tf_keras()
    if isinstance(network, tf_keras.Model):
        yield from (layer for layer in network._flatten_layers() if isinstance(layer, tf_keras.layers.RNN))
