"""Runs model files in a child process, so that a hostile or broken one cannot end the publisher.

The parent's side: starts the child, waits, and turns each way to die into BadModel. The child's side is `sandboxed`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from protocol.errors import BadModel, MissingPart
from publisher.learning.data.dataset import Floats

EXAMINE_TIMEOUT_S: Final = 120  # a file of 2 GB from a slow disk
RUN_TIMEOUT_S: Final = 1_800  # 10,000 samples at 180 ms
TOLD: Final = ("memory_bytes", "memory_peak_bytes", "sparsity", "latency_ms_p50", "latency_ms_p95", "kernel_spread")
PACKAGES: Final = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a file takes and gives. Each tensor: name, shape, signature (-1 for a free dimension), dtype."""

    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    precision: str
    output_slack: list[float]


@dataclass(frozen=True, slots=True, eq=False)
class Ran:
    """What a model gave for some samples: each output (samples, …). Latency of one sample on one thread.

    `memory_peak_bytes` was held while it was opened and warmed up; `sparsity` is the share of zero weights.
    """

    outputs: list[Floats]
    memory_bytes: int
    memory_peak_bytes: int
    sparsity: float
    latency_ms_p50: float
    latency_ms_p95: float
    kernel_spread: list[float]


def examine(tflite: bytes, name: str) -> Facts:
    """Open a file and run it once; `name` is how messages call it. Raises BadModel."""
    with tempfile.TemporaryDirectory(prefix="edgeferry-") as folder:
        told = _in_child(Path(folder), tflite, [], name, timeout_s=EXAMINE_TIMEOUT_S)
    return Facts(told["inputs"], told["outputs"], told["precision"], told["output_slack"])


def run(tflite: bytes, inputs: list[Floats], name: str, *, compare_kernels: bool = False) -> Ran:
    """Run samples, each input (samples, …) float32; with `compare_kernels` by other code too. Raises BadModel."""
    with tempfile.TemporaryDirectory(prefix="edgeferry-") as folder:
        place = Path(folder)
        told = _in_child(place, tflite, inputs, name, timeout_s=RUN_TIMEOUT_S, compare_kernels=compare_kernels)
        outputs = [np.load(place / f"output_{index}.npy", allow_pickle=False) for index in range(told["outputs"])]
    if not all(np.isfinite(output).all() for output in outputs):
        raise BadModel(f"{name} gives NaN or infinite values", hint="look at its training, or at the data it is given")
    return Ran(outputs, **{name: told[name] for name in TOLD})


def _in_child(
    folder: Path, tflite: bytes, inputs: list[Floats], name: str, *, timeout_s: int, compare_kernels: bool = False
) -> dict[str, Any]:
    (folder / "model.tflite").write_bytes(tflite)
    for index, values in enumerate(inputs):
        np.save(folder / f"input_{index}.npy", values)
    job = {"inputs": len(inputs), "timeout_s": timeout_s, "compare_kernels": compare_kernels}
    (folder / "job.json").write_text(json.dumps(job))
    ended = _start(folder, name, timeout_s)
    if ended.returncode != 0:
        raise BadModel(f"{name} cannot be run: {_way_of_death(ended)}", hint="is the file whole? make it anew")
    told: dict[str, Any] = json.loads((folder / "result.json").read_text())
    if "error" in told:
        raise _refusal(told, name)
    return told


def _start(folder: Path, name: str, timeout_s: int) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, (str(PACKAGES), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-P", "-m", "publisher.learning.measurement.sandbox_child", str(folder)]
    try:
        return subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise BadModel(f"{name} was not done after {timeout_s} s", hint="use a smaller model or less data") from late


def _way_of_death(ended: subprocess.CompletedProcess[str]) -> str:
    if ended.returncode < 0:
        return f"it ends the runtime with {signal.Signals(-ended.returncode).name}"
    return (ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"])[-1][:300]


def _refusal(told: dict[str, Any], name: str) -> BadModel | MissingPart:
    error = " ".join(str(told["error"]).split())[:300]
    if told["kind"] == "MissingPart":
        return MissingPart(error, hint=told["hint"])
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
