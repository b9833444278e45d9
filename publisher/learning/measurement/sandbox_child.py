"""The program of `sandbox`: opens and runs one model, and returns what it measured."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from protocol.errors import BadModel
from protocol.host.child_process import memory_peak_bytes, serve_job
from publisher.learning.data.dataset import Floats
from publisher.learning.measurement.tflite_interpreter import Interpreter, load_runtime

WARM_UPS: Final = 3
REFERENCE_S: Final = 10.0  # reference kernels are slow; what they show in this time is enough


def work(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Examine the model, or run it on inputs. Raises BadModel, MissingPart."""
    try:
        return run(folder, job["inputs"], job["compare_kernels"]) if job["inputs"] else examine(folder)
    except ValueError as wrong:  # a name that is not text, a shape that cannot be
        raise BadModel(str(wrong)) from None
    except MemoryError:
        raise BadModel("it needs more memory than a model of its size should") from None


def examine(folder: Path) -> dict[str, Any]:
    model = Interpreter(str(folder / "model.tflite"))
    facts = {"inputs": model.inputs(), "precision": model.precision(), "output_slack": model.output_slack()}
    if all(tensor["dtype"] == "float32" for tensor in model.inputs()):  # any other is refused anyway
        model.prepare()
        model.run([np.zeros(tensor["shape"], np.float32) for tensor in model.inputs()])
    return {**facts, "outputs": model.outputs()}


def run(folder: Path, inputs: int, compare_kernels: bool) -> dict[str, Any]:
    """Run every sample and save the outputs; return latencies and memory."""
    samples = [np.load(folder / f"input_{index}.npy", mmap_mode="r") for index in range(inputs)]
    load_runtime()
    before_bytes = resident_bytes()
    reset_peak()
    model = _opened(folder, samples)
    memory_bytes, peak_bytes = max(0, resident_bytes() - before_bytes), memory_peak_bytes() or 0
    latencies_ms: list[float] = []
    outputs: list[list[Floats]] = []
    for index in range(len(samples[0])):
        sample = _sample(samples, index)
        began = time.perf_counter()
        outputs.append(model.run(sample))
        latencies_ms.append((time.perf_counter() - began) * 1_000)
    for output in range(len(outputs[0])):
        np.save(folder / f"output_{output}.npy", _stacked([sample[output] for sample in outputs]))
    spread = _kernel_spread(folder, samples, outputs) if compare_kernels else [0.0] * len(outputs[0])
    return {
        "outputs": len(outputs[0]),
        "memory_bytes": memory_bytes,
        "memory_peak_bytes": max(memory_bytes, peak_bytes - before_bytes),
        "sparsity": model.sparsity(),
        "latency_ms_p50": float(np.percentile(latencies_ms, 50)),
        "latency_ms_p95": float(np.percentile(latencies_ms, 95)),
        "kernel_spread": spread,
    }


def _opened(folder: Path, samples: list[Floats], *, reference_kernels: bool = False) -> Interpreter:
    model = Interpreter(str(folder / "model.tflite"), reference_kernels=reference_kernels)
    model.prepare()
    for _ in range(WARM_UPS):
        model.run(_sample(samples, 0))
    return model


def _sample(samples: list[Floats], index: int) -> list[Floats]:
    return [np.array(values[index : index + 1]) for values in samples]


def _stacked(outputs: list[Floats]) -> Floats:
    """One array (samples, …), without the batch of one that each output has."""
    if len({output.shape for output in outputs}) > 1:
        raise BadModel("the shape of its output changes from sample to sample")
    return np.stack([output[0] if output.ndim > 1 and len(output) == 1 else output for output in outputs])


def _kernel_spread(folder: Path, samples: list[Floats], outputs: list[list[Floats]]) -> list[float]:
    """How far each output differs by reference kernels, as on other hardware."""
    model = _opened(folder, samples, reference_kernels=True)
    spread = [0.0] * len(outputs[0])
    began = time.monotonic()
    for index, usual in enumerate(outputs):
        other = model.run(_sample(samples, index))
        spread = [
            max(so_far, float(np.abs(ours - theirs).max(initial=0.0)))
            for so_far, ours, theirs in zip(spread, usual, other, strict=True)
        ]
        if time.monotonic() - began > REFERENCE_S:
            break
    return spread


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def reset_peak() -> None:
    """Reset the peak; if the system refuses, it is too high, never too low."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    serve_job(work)
