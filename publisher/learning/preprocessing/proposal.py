"""The preprocessing that a file's own metadata describes."""

from __future__ import annotations

from typing import Any, Final

from protocol.errors import BadInput
from protocol.messages.contract import FREE, Contract, Tensor
from protocol.messages.preprocessing import Preprocessing
from publisher.learning.measurement.litert_metadata import ModelMetadata, TensorDescription
from publisher.learning.preprocessing.declaration import preprocessing_from

WHERE: Final = "the file's metadata"
CHANNELS: Final = {"RGB": 3, "grey": 1}


def propose(metadata: ModelMetadata, contract: Contract) -> tuple[Preprocessing, str] | None:
    """What is to be declared, and why; None if the metadata describe no picture."""
    if len(metadata.inputs) != len(contract.inputs):
        return None
    found = [
        _of_picture(each, tensor, contract.row_shape(tensor))
        for each, tensor in zip(metadata.inputs, contract.inputs, strict=True)
    ]
    if not any(found):
        return None
    inputs = [each or {} for each in found]
    reason = "; ".join(
        _reason(each, tensor, contract.row_shape(tensor))
        for each, tensor, made in zip(metadata.inputs, contract.inputs, found, strict=True)
        if made
    )
    return preprocessing_from({"inputs": inputs}, WHERE), f"by its metadata, {reason}"


def proposed(metadata: ModelMetadata, contract: Contract, name: str) -> tuple[Preprocessing, str]:
    """The same where the user asked for it. Raises BadInput if there is none."""
    found = propose(metadata, contract)
    if found is None:
        raise BadInput(
            f"the metadata of {name} describe no picture of the size that it takes",
            hint="write what it takes to a file: docs/PREPROCESSING.md",
        )
    return found


def _of_picture(described: TensorDescription, tensor: Tensor, shape: tuple[int, ...]) -> dict[str, Any] | None:
    if described.content != "image" or len(shape) != 3 or FREE in shape:
        return None
    order = "grey" if described.color_space == "grayscale" else "RGB"
    if shape[2] != CHANNELS[order]:
        return None
    resize = {"step": "resize", "width": shape[1], "height": shape[0]}
    numbers = _numbers(described, tensor.dtype)
    return None if numbers is None else {"raw": {"kind": "picture", "order": order}, "steps": [resize, *numbers]}


def _numbers(described: TensorDescription, dtype: str) -> list[dict[str, Any]] | None:
    """From uint8 to the tensor: normalization is for models of real numbers."""
    match dtype:
        case "uint8":
            return []
        case "int8":
            return [{"step": "scale", "offset": -128}, {"step": "cast", "dtype": "int8"}]
        case "float32" if described.mean and described.std and min(described.std) > 0:
            return [{"step": "normalize", "mean": described.mean, "std": described.std}]
        case "float32":
            return [{"step": "cast", "dtype": "float32"}]
    return None


def _reason(described: TensorDescription, tensor: Tensor, shape: tuple[int, ...]) -> str:
    normalized = (
        f", normalized by mean {_text(described.mean)} and std {_text(described.std)}" if described.mean else ""
    )
    colours = "grey" if described.color_space == "grayscale" else "RGB"
    return f"{tensor.name} is a {colours} picture of {shape[1]} x {shape[0]}{normalized}"


def _text(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
