"""What a file takes and gives, found by runs of it: part of `sandbox_child`.

Sizes that the file leaves free are tried in powers of two, integers without a scale in
ever smaller ranges, and outputs are watched for sizes that follow the values.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from protocol.content.noise import noise
from protocol.errors import BadModel
from protocol.messages.golden_index import Noise
from publisher.learning.data.dataset import Array
from publisher.learning.measurement.tflite_interpreter import Interpreter

FREE: Final = -1
SIZES: Final = tuple(2**power for power in range(11))  # 1 to 1,024
LONG_SIZES: Final = tuple(2**power for power in range(11, 17))  # of a sound, if the whole input has no more values
VALUES_MAX: Final = 16_000_000  # of an input: 64 MB
SLOW_S: Final = 2.0  # a run this slow ends the search for larger sizes
HIGHS: Final = (255, 99, 9, 1)  # of integers without a scale, such as tokens: an index out of its table fails
TRIALS: Final = 4  # of noise, beside zeros
SEED: Final = 5
STATE: Final = frozenset({"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE", "SVDF"})
STATE_CELLS: Final = ("LSTM", "RNN")  # in the names of fused recurrent layers


@dataclass(frozen=True, slots=True)
class Job:
    """`sizes`: (input or -1 for all, axis, low, high) of free sizes as given."""

    path: str
    signature: str
    sizes: Sequence[tuple[int, int, int, int]]

    def open(self) -> Interpreter:
        return Interpreter(self.path, signature=self.signature)


def examine(folder: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Facts of the file; those that need a run are left out for `unmeasured`."""
    job = Job(str(folder / "model.tflite"), order["signature"], [tuple(each) for each in order["sizes"]])
    model = job.open()
    inputs = model.inputs()
    facts = {
        "inputs": inputs,
        "outputs": model.outputs(),
        "precision": model.precision(),
        "output_slack": model.output_slack(),
        "signatures": model.signatures(),
        "operations": model.operations(),
        "stateful": is_stateful(model.operations()),
    }
    if order["unmeasured"]:
        return facts
    sizes = _sizes(job, inputs)
    shapes = trial_shapes(job, inputs, sizes[0] if sizes else 1)
    high, observed = _observed(job, inputs, shapes)
    return {**facts, "sizes": sizes, "observed": observed, "integer_high": high}


def is_stateful(operations: Sequence[str]) -> bool:
    return bool(STATE & set(operations)) or any(name.endswith(STATE_CELLS) for name in operations)


def free_axes(tensor: dict[str, Any]) -> list[int]:
    """Its free sizes, without the batch."""
    signature = tensor["signature"]
    return [axis for axis, size in enumerate(signature) if size == FREE and (axis or len(signature) == 1)]


def trial_shapes(job: Job, inputs: Sequence[dict[str, Any]], size: int) -> list[tuple[int, ...]]:
    """The shapes of whole inputs with this free size, within what was given."""
    shapes = []
    for index, tensor in enumerate(inputs):
        shape = [1 if each == FREE else each for each in tensor["signature"]]
        for axis in free_axes(tensor):
            low, high = next(
                (each[2:] for each in job.sizes if each[0] in {index, FREE} and each[1] == axis), (size, size)
            )
            shape[axis] = min(max(size, low), high)
        shapes.append(tuple(shape))
    return shapes


def _sizes(job: Job, inputs: Sequence[dict[str, Any]]) -> list[int]:
    """The smallest and the largest size that can be run; empty without a free one."""
    if not any(free_axes(tensor) for tensor in inputs):
        return []
    ran: list[int] = []
    failure: BadModel | None = None
    for size in (*SIZES, *LONG_SIZES):
        shapes = trial_shapes(job, inputs, size)
        if size > SIZES[-1] and not _is_short(inputs, shapes):
            break
        if ran and max(int(np.prod(shape)) for shape in shapes) > VALUES_MAX:
            break
        began = time.monotonic()
        try:
            _check_finite(_zero_run(job, inputs, shapes))
        except (BadModel, MemoryError) as error:
            failure = error if isinstance(error, BadModel) else BadModel("it needs too much memory")
            if ran:
                break
            continue
        ran.append(size)
        if time.monotonic() - began > SLOW_S:
            break
    if not ran:
        raise failure or BadModel("no size can be run")
    return [ran[0], ran[-1]]


def _is_short(inputs: Sequence[dict[str, Any]], shapes: Sequence[tuple[int, ...]]) -> bool:
    floats = all(tensor["dtype"].startswith("float") for tensor in inputs)  # tokens are compared pair by pair
    return floats and all(int(np.prod(shape)) <= LONG_SIZES[-1] for shape in shapes)


def _zero_run(job: Job, inputs: Sequence[dict[str, Any]], shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    return job.open().run([_zeros(tensor, shape) for tensor, shape in zip(inputs, shapes, strict=True)])


def _check_finite(outputs: Sequence[Array]) -> None:
    """Of too small a size some networks make a mean over nothing. Raises BadModel."""
    if not all(np.isfinite(each).all() for each in outputs if each.dtype.kind == "f"):
        raise BadModel("it gives NaN for zeros of every size that was tried")


def _zeros(tensor: dict[str, Any], shape: tuple[int, ...]) -> Array:
    text = tensor["dtype"] == "string"
    return np.full(shape, b"" if text else 0, object if text else tensor["dtype"])


def _observed(
    job: Job, inputs: Sequence[dict[str, Any]], shapes: Sequence[tuple[int, ...]]
) -> tuple[int, list[list[list[int]]]]:
    """A range of integers that runs, and for each output its shape in each trial."""
    outputs = [_zero_run(job, inputs, shapes)]
    for high in HIGHS:
        try:
            outputs += [_noise_run(job, inputs, shapes, high, trial) for trial in range(TRIALS)]
        except BadModel:
            if high == HIGHS[-1]:
                raise
            continue
        break
    return high, [[list(each.shape) for each in column] for column in zip(*outputs, strict=True)]


def _noise_run(
    job: Job, inputs: Sequence[dict[str, Any]], shapes: Sequence[tuple[int, ...]], high: int, trial: int
) -> list[Array]:
    values = [
        noise(noise_of(tensor, high), shape, SEED, trial * len(inputs) + index)
        for index, (tensor, shape) in enumerate(zip(inputs, shapes, strict=True))
    ]
    return job.open().run([each.astype(object) if each.dtype.kind == "S" else each for each in values])


def noise_of(tensor: dict[str, Any], integer_high: int) -> Noise:
    """All numbers of a small quantized input; other integers up to `integer_high`."""
    dtype = tensor["dtype"]
    if dtype == "string" or np.dtype(dtype).kind not in "iu":
        return Noise(dtype=dtype)
    bounds = np.iinfo(dtype)
    if tensor["scale"] and bounds.bits <= 16:
        return Noise(dtype=dtype, low=bounds.min, high=bounds.max)
    return Noise(dtype=dtype, low=0, high=min(integer_high, bounds.max))
