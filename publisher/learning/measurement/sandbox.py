"""Runs model files in a child process, the only one that they can crash."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from protocol.errors import BadModel, MissingPart
from protocol.host.child_process import JobFailed, Limits, Stopped, run_job
from protocol.messages.contract import FREE, Contract
from publisher.learning.data.dataset import Array
from publisher.learning.data.rows import is_ragged, load_rows, save_rows

EXAMINE_TIMEOUT_S: Final = 120  # a file of 2 GB from a slow disk
RUN_TIMEOUT_S: Final = 1_800  # 10,000 samples at 180 ms
CUSTOM: Final = re.compile(r"\b(?P<flex>Flex[A-Z]\w+)|unresolved custom op: (?P<custom>[\w:/-]+)")
MEMORY_BASE_BYTES: Final = 4_000_000_000  # address space, of which threads and libraries reserve a part


@dataclass(frozen=True, slots=True)
class FreeSize:
    """Bounds of a size that a file leaves free; of input -1: of all inputs."""

    axis: int
    low: int
    high: int
    tensor: int = -1


@dataclass(frozen=True, slots=True)
class FileRequest:
    """How to read a file. `unmeasured`: it cannot be run here, and is not."""

    signature: str = ""
    sizes: tuple[FreeSize, ...] = ()
    unmeasured: bool = False


def sizes_of(contract: Contract) -> tuple[FreeSize, ...]:
    """The bounds of its free sizes, to keep them in the next version."""
    return tuple(
        FreeSize(axis, tensor.size_min[axis], tensor.size_max[axis], index)
        for index, tensor in enumerate(contract.inputs)
        for axis, size in enumerate(tensor.shape)
        if size == FREE
    )


@dataclass(frozen=True, slots=True)
class Facts:
    """What `examination` finds. Each tensor has name, shape, signature (-1: a free
    size), dtype, scale and zero_point; without a run there are no `observed` shapes."""

    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    precision: str
    output_slack: list[float]
    signatures: list[str]
    operations: list[str]
    stateful: bool
    sizes: tuple[int, ...] = ()
    observed: tuple[list[list[int]], ...] = ()
    integer_high: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Ran:
    """Outputs (samples, …) of a model, and the latency of one sample on one thread.

    Outputs whose size differs by sample are an array of arrays.
    """

    outputs: list[Array]
    memory_bytes: int
    memory_peak_bytes: int  # while it was opened and warmed up
    sparsity: float  # share of zeros
    latency_ms_p50: float
    latency_ms_p95: float
    differences: list[list[float]]  # of each output: in each run by other kernels, or inputs hardly other
    not_compared: str  # why other kernels cannot run the file; empty if they can


def examine(tflite: bytes, name: str, request: FileRequest = FileRequest()) -> Facts:
    """Open and run it; messages call it `name`. Raises BadModel, MissingPart."""
    sizes = [(each.tensor, each.axis, each.low, each.high) for each in request.sizes]
    job = {"inputs": 0, "signature": request.signature, "sizes": sizes, "unmeasured": request.unmeasured}
    with tempfile.TemporaryDirectory(prefix="edgeferry-") as folder:
        return Facts(**_run_child(Path(folder), tflite, job, name, timeout_s=EXAMINE_TIMEOUT_S))


def run(
    tflite: bytes,
    inputs: Sequence[Array],
    name: str,
    *,
    contract: Contract | None = None,
    steps: int = 1,
    compare_kernels: bool = False,
) -> Ran:
    """Run rows of each input, (samples, …) or an array of arrays, in their own types.

    Without a contract it is the file's own. A model with state begins anew every
    `steps`. Raises BadModel, MissingPart.
    """
    job = {
        "inputs": len(inputs),
        "contract": contract and contract.model_dump(mode="json"),
        "steps": steps,
        "compare_kernels": compare_kernels,
    }
    with tempfile.TemporaryDirectory(prefix="edgeferry-") as folder:
        place = Path(folder)
        for index, rows in enumerate(inputs):
            save_rows(place / f"input_{index}.npy", rows)
        result = _run_child(place, tflite, job, name, timeout_s=RUN_TIMEOUT_S)
        count = result.pop("outputs")
        outputs = [np.array(load_rows(place / f"output_{index}.npy")) for index in range(count)]
    if not all(map(_finite, outputs)):
        raise BadModel(f"{name} gives NaN or infinite values", hint="look at its training, or at the data it is given")
    return Ran(outputs, **result)


def _finite(rows: Array) -> bool:
    if is_ragged(rows):
        return all(map(_finite, rows))
    return rows.dtype.kind != "f" or bool(np.isfinite(rows).all())


def _run_child(folder: Path, tflite: bytes, job: dict[str, Any], name: str, *, timeout_s: int) -> dict[str, Any]:
    (folder / "model.tflite").write_bytes(tflite)
    try:
        return run_job(
            "publisher.learning.measurement.sandbox_child",
            folder,
            job,
            limits=Limits(memory_bytes=MEMORY_BASE_BYTES + 4 * len(tflite), cpu_s=timeout_s),
            timeout_s=timeout_s,
            errors=(BadModel, MissingPart),
        )
    except JobFailed as failure:
        raise _failure(failure, name, timeout_s) from None
    except BadModel as refused:
        raise _refusal(" ".join(refused.message.split()), name) from None


def _failure(failure: JobFailed, name: str, timeout_s: int) -> BadModel:
    ended = failure.ended
    if ended.stopped is Stopped.TIMEOUT:
        return BadModel(f"{name} was not done after {timeout_s} s", hint="use a smaller model or less data")
    end = f"it ends the runtime with {ended.signal_name}" if ended.signal_name else ended.last_line
    return BadModel(f"{name} cannot be run: {end or ended.description}", hint="is the file whole? make it again")


def _refusal(whole: str, name: str) -> BadModel:
    error, custom = whole[:300], CUSTOM.search(whole)
    if "older version of this builtin" in error:
        return BadModel(
            f"{name} was converted for a newer runtime than the device's: {error.split(' An older')[0]}",
            hint="convert it without this quantization, or with an older TensorFlow",
        )
    if "there is no signature" in error:
        return BadModel(f"{name}: {error}", hint="give one of them with --signature, or leave it out")
    if custom and custom["flex"]:
        return BadModel(
            f"{name} needs {custom['flex']}, an operation of TensorFlow that the device's runtime lacks",
            hint="convert it with TFLITE_BUILTINS alone, without SELECT_TF_OPS",
        )
    if custom:
        return BadModel(
            f"{name} needs the custom operation {custom['custom']}, which the device's runtime lacks",
            hint="convert it without; or, if the devices have a delegate for it, release it with --unmeasured",
        )
    if "Didn't find op" in error or "Flex" in error or "Select TensorFlow op" in error:
        return BadModel(
            f"{name} needs an operation that the device's runtime lacks: {error}",
            hint="convert it with TFLITE_BUILTINS alone, no custom and no TensorFlow operations",
        )
    if "failed to prepare" in error or "failed to invoke" in error or "BytesRequired" in error:
        return BadModel(
            f"{name} opens, but cannot be run with the inputs that were tried: {error}",
            hint="give samples that it takes with --data, and bounds of its free sizes with --free-size",
        )
    return BadModel(
        f"{name} is not a model that the device's runtime opens: {error}", hint="is it a whole .tflite file?"
    )
