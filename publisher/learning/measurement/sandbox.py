"""Runs model files in a child process, the only one that they can crash."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from protocol.errors import BadModel, MissingPart
from protocol.host.child_process import JobFailed, Limits, Stopped, run_job
from publisher.learning.data.dataset import Floats

EXAMINE_TIMEOUT_S: Final = 120  # a file of 2 GB from a slow disk
RUN_TIMEOUT_S: Final = 1_800  # 10,000 samples at 180 ms
MEMORY_BASE_BYTES: Final = 4_000_000_000  # address space, of which threads and libraries reserve a part


@dataclass(frozen=True, slots=True)
class Facts:
    """Each tensor has name, shape, dtype and signature (-1 for a free dimension)."""

    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    precision: str
    output_slack: list[float]


@dataclass(frozen=True, slots=True, eq=False)
class Ran:
    """Outputs (samples, …) of a model, and the latency of one sample on one thread."""

    outputs: list[Floats]
    memory_bytes: int
    memory_peak_bytes: int  # while it was opened and warmed up
    sparsity: float  # share of zeros
    latency_ms_p50: float
    latency_ms_p95: float
    kernel_spread: list[float]  # of each output: how far reference kernels differ


def examine(tflite: bytes, name: str) -> Facts:
    """Open and run it once; messages call it `name`. Raises BadModel, MissingPart."""
    with tempfile.TemporaryDirectory(prefix="edgeferry-") as folder:
        result = _run_child(Path(folder), tflite, [], name, timeout_s=EXAMINE_TIMEOUT_S)
    return Facts(result["inputs"], result["outputs"], result["precision"], result["output_slack"])


def run(tflite: bytes, inputs: list[Floats], name: str, *, compare_kernels: bool = False) -> Ran:
    """Run samples, each input (samples, …) float32. Raises BadModel, MissingPart."""
    with tempfile.TemporaryDirectory(prefix="edgeferry-") as folder:
        place = Path(folder)
        result = _run_child(place, tflite, inputs, name, timeout_s=RUN_TIMEOUT_S, compare_kernels=compare_kernels)
        count = result.pop("outputs")
        outputs = [np.load(place / f"output_{index}.npy", allow_pickle=False) for index in range(count)]
    if not all(np.isfinite(output).all() for output in outputs):
        raise BadModel(f"{name} gives NaN or infinite values", hint="look at its training, or at the data it is given")
    return Ran(outputs, **result)


def _run_child(
    folder: Path, tflite: bytes, inputs: list[Floats], name: str, *, timeout_s: int, compare_kernels: bool = False
) -> dict[str, Any]:
    (folder / "model.tflite").write_bytes(tflite)
    for index, values in enumerate(inputs):
        np.save(folder / f"input_{index}.npy", values)
    try:
        return run_job(
            "publisher.learning.measurement.sandbox_child",
            folder,
            {"inputs": len(inputs), "compare_kernels": compare_kernels},
            limits=Limits(memory_bytes=MEMORY_BASE_BYTES + 4 * len(tflite), cpu_s=timeout_s),
            timeout_s=timeout_s,
            errors=(BadModel, MissingPart),
        )
    except JobFailed as failure:
        raise _failure(failure, name, timeout_s) from None
    except BadModel as refused:
        raise _refusal(" ".join(refused.message.split())[:300], name) from None


def _failure(failure: JobFailed, name: str, timeout_s: int) -> BadModel:
    ended = failure.ended
    if ended.stopped is Stopped.TIMEOUT:
        return BadModel(f"{name} was not done after {timeout_s} s", hint="use a smaller model or less data")
    end = f"it ends the runtime with {ended.signal_name}" if ended.signal_name else ended.last_line
    return BadModel(f"{name} cannot be run: {end or ended.description}", hint="is the file whole? make it again")


def _refusal(error: str, name: str) -> BadModel:
    if "older version of this builtin" in error:
        return BadModel(
            f"{name} was converted for a newer runtime than the device's: {error.split(' An older')[0]}",
            hint="convert it without this quantization, or with an older TensorFlow",
        )
    if "unresolved custom op" in error or "Didn't find op" in error or "Flex" in error:
        return BadModel(
            f"{name} needs an operation that the device's runtime lacks: {error}",
            hint="convert it with TFLITE_BUILTINS alone, no custom and no TensorFlow operations",
        )
    return BadModel(
        f"{name} is not a model that the device's runtime opens: {error}", hint="is it a whole .tflite file?"
    )
