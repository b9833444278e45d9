"""Inputs, outputs and precision of a hostile .tflite file, by the device's runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from protocol.errors import BadModel
from protocol.messages.base import first_error
from protocol.messages.contract import Contract, Tensor
from protocol.messages.manifest import BLOB_MAX_BYTES
from publisher.learning.measurement.sandbox import examine

NAME_MAX_CHARS: Final = 200  # what a manifest holds
IDENTIFIER: Final = b"TFL3"  # bytes 4 to 8 of every .tflite file
OTHER_KINDS: Final = ((b"\x89HDF", "an HDF5 file, as Keras saves"), (b"PK", "a zip archive, such as .keras or .npz"))
FLOAT_HINT: Final = "convert it with float32 in and out: leave inference_input_type and inference_output_type alone"


@dataclass(frozen=True, slots=True)
class Inspection:
    """`output_slack`: how far outputs move when integers round differently."""

    contract: Contract
    precision: str
    output_slack: tuple[float, ...]


def read_tflite(path: Path) -> bytes:
    """The file's bytes. Raises BadModel if it is empty, or too large for a release."""
    try:
        size_bytes = path.stat().st_size
        if size_bytes > BLOB_MAX_BYTES:
            raise BadModel(f"{path.name} has {size_bytes} bytes", hint=f"a release holds at most {BLOB_MAX_BYTES}")
        content = path.read_bytes()
    except OSError as error:
        raise BadModel(f"{path} cannot be read: {error.strerror}", hint="give a .tflite file") from error
    if not content:
        raise BadModel(f"{path.name} is empty", hint="give a .tflite file")
    return content


def inspect(tflite: bytes, *, name: str, value_range: tuple[float, float] | None = None) -> Inspection:
    """Inspect a file; `value_range` is that of its inputs. Raises BadModel."""
    _check_kind(tflite, name)
    facts = examine(tflite, name)
    for tensor in facts.inputs:
        _check_input(tensor, name)
    for tensor in facts.outputs:
        _check_float(tensor, "output", name)
    try:
        contract = Contract(
            inputs=tuple(_tensor(tensor, value_range) for tensor in facts.inputs),
            outputs=tuple(_tensor(tensor, None) for tensor in facts.outputs),
        )
    except ValidationError as error:
        raise BadModel(
            f"{name} takes or gives what no release can say: {first_error(error)}",
            hint="is it a whole .tflite file? it needs 1 to 16 inputs and outputs of at most 8 dimensions",
        ) from error
    return Inspection(contract, facts.precision, tuple(facts.output_slack))


def _check_kind(tflite: bytes, name: str) -> None:
    if tflite[4:8] == IDENTIFIER:
        return
    kind = next((kind for start, kind in OTHER_KINDS if tflite.startswith(start)), "")
    raise BadModel(
        f"{name} is no TensorFlow Lite model" + (f", but {kind}" if kind else ""), hint="give a whole .tflite file"
    )


def _check_input(tensor: dict[str, Any], name: str) -> None:
    _check_float(tensor, "input", name)
    shape, signature = tensor["shape"], tensor["signature"] or tensor["shape"]
    if not shape or shape[0] != 1:
        raise BadModel(f"{name} takes {shape} at once", hint="convert it for a batch of one: its first dimension is 1")
    if -1 in signature[1:]:
        raise BadModel(f"{name} has an input of free size: {signature}", hint="convert it with a fixed shape")


def _check_float(tensor: dict[str, Any], side: str, name: str) -> None:
    if tensor["dtype"] != "float32":
        raise BadModel(f"{name} has the {side} {tensor['name']!r} of type {tensor['dtype']}", hint=FLOAT_HINT)


def _tensor(tensor: dict[str, Any], value_range: tuple[float, float] | None) -> Tensor:
    low, high = value_range or (None, None)
    return Tensor(name=tensor["name"][:NAME_MAX_CHARS], shape=tuple(tensor["shape"]), value_min=low, value_max=high)
