"""The contract of a file, as publishers write it."""

from __future__ import annotations

from pathlib import Path

from device_client.adapters.runtime.tflite import open_model
from protocol.messages.contract import Contract


def float_contract(path: Path) -> Contract:
    """float32 where the file is quantized: of a ladder, and of older publishers."""
    own = open_model(path).contract
    shown = {"dtype": "float32", "scale": 0.0, "zero_point": 0}
    inputs, outputs = (
        tuple(tensor.model_copy(update=shown) if tensor.scale else tensor for tensor in side)
        for side in (own.inputs, own.outputs)
    )
    return own.model_copy(update={"inputs": inputs, "outputs": outputs})
