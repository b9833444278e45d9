"""Inputs, outputs and precision of a hostile .tflite file, by the device's runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from protocol.errors import BadModel
from protocol.messages.base import first_error
from protocol.messages.contract import FREE, Contract, Tensor
from protocol.messages.golden_index import Noise
from protocol.messages.manifest import BLOB_MAX_BYTES
from publisher.learning.measurement.examination import free_axes, noise_of
from publisher.learning.measurement.sandbox import Facts, FileRequest, FreeSize, examine

NAME_MAX_CHARS: Final = 200  # what a manifest holds
IDENTIFIER: Final = b"TFL3"  # bytes 4 to 8 of every .tflite file
OTHER_KINDS: Final = ((b"\x89HDF", "an HDF5 file, as Keras saves"), (b"PK", "a zip archive, such as .keras or .npz"))
TYPES: Final = (
    *("float16", "float32", "float64", "bool", "string"),
    *(f"{sign}int{bits}" for bits in (8, 16, 32, 64) for sign in ("", "u")),
)
DISCRETE: Final = frozenset(
    {
        *("ARG_MAX", "ARG_MIN", "TOPK_V2", "WHERE", "UNIQUE", "SIGN", "ROUND", "FLOOR", "CEIL", "BUCKETIZE"),
        *("GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "EQUAL", "NOT_EQUAL", "SELECT", "SELECT_V2"),
        *("NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5", "TFLite_Detection_PostProcess", "CUSTOM"),
    }
)


@dataclass(frozen=True, slots=True)
class Inspection:
    """`output_slack`: how far outputs move when integers round differently.

    `noise`: what to draw for each input where there are no data. `discrete`: whether it
    has operations that turn hardly other numbers into quite another answer, such as an
    order of boxes. `notes`: what to tell the user, each a sentence.
    """

    contract: Contract
    precision: str
    output_slack: tuple[float, ...]
    noise: tuple[Noise, ...] = ()
    discrete: bool = False
    operations: frozenset[str] = frozenset()
    measured: bool = True
    notes: tuple[str, ...] = ()


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


def inspect(
    tflite: bytes,
    *,
    name: str,
    value_range: tuple[float, float] | None = None,
    request: FileRequest = FileRequest(),  # noqa: B008 - frozen
) -> Inspection:
    """Inspect a file; `value_range` is that of its inputs. Raises BadModel."""
    _check_kind(tflite, name)
    facts = examine(tflite, name, request)
    for tensor in (*facts.inputs, *facts.outputs):
        _check_type(tensor, name)
    _check_request(request, facts, name)
    try:
        contract = _contract(facts, request, value_range)
    except ValidationError as error:
        raise BadModel(
            f"{name} takes or gives what no release can say: {first_error(error)}",
            hint="is it a whole .tflite file? it needs 1 to 16 inputs and outputs of at most 8 dimensions",
        ) from error
    return Inspection(
        contract,
        facts.precision,
        tuple(facts.output_slack),
        noise=tuple(_noise(tensor, facts, value_range) for tensor in facts.inputs),
        discrete=bool(DISCRETE & set(facts.operations)),
        operations=frozenset(facts.operations),
        measured=not request.unmeasured,
        notes=_notes(facts, request),
    )


def _check_kind(tflite: bytes, name: str) -> None:
    if tflite[4:8] == IDENTIFIER:
        return
    kind = next((kind for start, kind in OTHER_KINDS if tflite.startswith(start)), "")
    raise BadModel(
        f"{name} is no TensorFlow Lite model" + (f", but {kind}" if kind else ""), hint="give a whole .tflite file"
    )


def _check_type(tensor: dict[str, Any], name: str) -> None:
    if tensor["dtype"] not in TYPES:
        raise BadModel(
            f"{name} has the tensor {tensor['name']!r} of type {tensor['dtype']}",
            hint=f"its inputs and outputs may be {', '.join(TYPES)}",
        )


def _check_request(request: FileRequest, facts: Facts, name: str) -> None:
    for size in request.sizes:
        if size.tensor >= len(facts.inputs) or size.axis not in {
            axis
            for index, tensor in enumerate(facts.inputs)
            for axis in free_axes(tensor)
            if size.tensor in {index, FREE}
        }:
            which = "" if size.tensor == FREE else f"input {size.tensor} of "
            raise BadModel(
                f"dimension {size.axis} of {which}{name} is not free: {_signatures(facts)}",
                hint="name a free one (-1) with --free-size, counted from 0; the first one is the batch",
            )


def _signatures(facts: Facts) -> str:
    return ", ".join(f"{tensor['name']} {tensor['signature']}" for tensor in facts.inputs)


def _contract(facts: Facts, request: FileRequest, value_range: tuple[float, float] | None) -> Contract:
    return Contract(
        inputs=tuple(
            _input(index, tensor, facts.sizes, request.sizes, value_range) for index, tensor in enumerate(facts.inputs)
        ),
        outputs=tuple(_output(index, tensor, facts) for index, tensor in enumerate(facts.outputs)),
        signature=request.signature,
        stateful=facts.stateful,
    )


def _input(
    index: int,
    tensor: dict[str, Any],
    ran: Sequence[int],
    given: Sequence[FreeSize],
    value_range: tuple[float, float] | None,
) -> Tensor:
    shape = [1 if size == FREE else size for size in tensor["signature"]]
    lows, highs = list(shape), list(shape)
    for axis in free_axes(tensor):
        bounds = next((each for each in given if each.tensor in {index, FREE} and each.axis == axis), None)
        low, high = (bounds.low, bounds.high) if bounds else (ran[0], ran[-1]) if ran else (1, 1)
        lows[axis], highs[axis], shape[axis] = low, high, low if low == high else FREE
    free = FREE in shape
    least, largest = value_range or (None, None)
    return _tensor(tensor, shape).model_copy(
        update={
            "value_min": least,
            "value_max": largest,
            "size_min": tuple(lows) if free else (),
            "size_max": tuple(highs) if free else (),
        }
    )


def _output(index: int, tensor: dict[str, Any], facts: Facts) -> Tensor:
    """Sizes that differ from run to run are free, and those the file itself leaves free
    unless they are a batch, or always the same for inputs of fixed size."""
    observed = facts.observed[index] if facts.observed else [tensor["shape"]]
    signature = tensor["signature"] if len(tensor["signature"]) == len(observed[0]) else observed[0]
    free_batch = any(each["signature"][:1] == [FREE] and len(each["signature"]) > 1 for each in facts.inputs)
    free_inputs = bool(facts.sizes)
    shape = []
    for axis, size in enumerate(observed[0]):
        varies = len({each[axis] for each in observed}) > 1
        batch = axis == 0 and free_batch and len(observed[0]) > 1 and size == 1
        undetermined = signature[axis] == FREE and not batch and (free_inputs or not free_batch or size == 0)
        shape.append(FREE if varies or undetermined else size)
    return _tensor(tensor, shape)


def _tensor(tensor: dict[str, Any], shape: Sequence[int]) -> Tensor:
    return Tensor(
        name=tensor["name"][:NAME_MAX_CHARS],
        shape=tuple(shape),
        dtype=tensor["dtype"],
        scale=tensor["scale"],
        zero_point=tensor["zero_point"],
    )


def _noise(tensor: dict[str, Any], facts: Facts, value_range: tuple[float, float] | None) -> Noise:
    spec = noise_of(tensor, facts.integer_high)
    if value_range and spec.dtype.startswith("float"):
        return spec.model_copy(update={"low": value_range[0], "high": value_range[1]})
    return spec


def _notes(facts: Facts, request: FileRequest) -> tuple[str, ...]:
    notes = []
    if facts.sizes and not request.sizes:
        notes.append(
            f"free sizes of the inputs: {facts.sizes[0]} to {facts.sizes[-1]}, the powers of two that"
            " were tried and could be run; --free-size gives others"
        )
    if len(facts.signatures) > 1:
        chosen = request.signature or facts.signatures[0]
        notes.append(f"signature {chosen}, of {', '.join(facts.signatures)}; --signature names another")
    if request.unmeasured:
        notes.append("it was not run here: a device with a delegate for it proves that it runs, and compares nothing")
    if facts.stateful:
        notes.append("it keeps state between inputs: golden samples are sequences from the initial state")
    return tuple(notes)
