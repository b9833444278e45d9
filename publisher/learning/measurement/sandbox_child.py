"""The child's side of `sandbox`: opens one model under limits and writes down what it saw. Run as a program.

The folder given holds `model.tflite`, `job.json` and the inputs; `result.json` and the outputs are left in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from protocol.errors import BadModel, FerryError
from publisher.learning.measurement.tflite_interpreter import Floats, Interpreter, load_runtime

MEMORY_BASE_BYTES: Final = 4_000_000_000  # address space, of which threads and libraries reserve a part
WARM_UPS: Final = 3
REFERENCE_S: Final = 10.0  # reference kernels are slow; what they show in this time is enough


def main(folder: Path) -> int:
    """Do the job of this folder."""
    job = json.loads((folder / "job.json").read_text())
    limit(job["timeout_s"], (folder / "model.tflite").stat().st_size)
    try:
        result = examine(folder) if job["inputs"] == 0 else run(folder, job["inputs"], job["compare_kernels"])
    except FerryError as refused:
        result = {"error": refused.message, "hint": refused.hint, "kind": type(refused).__name__}
    except ValueError as wrong:  # a name that is no text, a shape that cannot be
        result = {"error": str(wrong), "hint": "", "kind": "BadModel"}
    except MemoryError:
        result = {"error": "it needs more memory than a model of its size should", "hint": "", "kind": "BadModel"}
    (folder / "result.json").write_text(json.dumps(result))
    return 0


def limit(timeout_s: int, model_bytes: int) -> None:
    """Bound what a hostile file can take: processor time, memory, and no core file."""
    import resource

    memory_bytes = MEMORY_BASE_BYTES + 4 * model_bytes
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, timeout_s),
        (resource.RLIMIT_AS, memory_bytes),
    ):
        _, hard = resource.getrlimit(what)
        resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def examine(folder: Path) -> dict[str, Any]:
    """What the model takes and gives, after one run on zeros."""
    model = Interpreter(str(folder / "model.tflite"))
    facts = {"inputs": model.inputs(), "precision": model.precision(), "output_slack": model.output_slack()}
    if all(tensor["dtype"] == "float32" for tensor in model.inputs()):  # else it is refused anyway
        model.prepare()
        model.run([np.zeros(tensor["shape"], np.float32) for tensor in model.inputs()])
    return {**facts, "outputs": model.outputs()}


def run(folder: Path, inputs: int, compare_kernels: bool) -> dict[str, Any]:
    """Every sample through the model: the outputs, how long each took, and what memory the model holds."""
    samples = [np.load(folder / f"input_{index}.npy", mmap_mode="r") for index in range(inputs)]
    load_runtime()
    before_bytes = resident_bytes()
    forget_peak()
    model = _opened(folder, samples)
    memory_bytes = max(0, resident_bytes() - before_bytes)
    memory_peak_bytes = max(memory_bytes, peak_bytes() - before_bytes)
    latencies_ms: list[float] = []
    given: list[list[Floats]] = []
    for index in range(len(samples[0])):
        sample = _sample(samples, index)
        began = time.perf_counter()
        given.append(model.run(sample))
        latencies_ms.append((time.perf_counter() - began) * 1_000)
    for output in range(len(given[0])):
        np.save(folder / f"output_{output}.npy", _stacked([sample[output] for sample in given]))
    p50, p95 = (float(np.percentile(latencies_ms, share)) for share in (50, 95))
    spread = _kernel_spread(folder, samples, given) if compare_kernels else [0.0] * len(given[0])
    return {
        "outputs": len(given[0]),
        "memory_bytes": memory_bytes,
        "memory_peak_bytes": memory_peak_bytes,
        "sparsity": model.sparsity(),
        "latency_ms_p50": p50,
        "latency_ms_p95": p95,
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


def _stacked(given: list[Floats]) -> Floats:
    """(samples, …): the batch of one that each output has goes."""
    if len({output.shape for output in given}) > 1:
        raise BadModel("the shape of its output changes from sample to sample")
    return np.stack([output[0] if output.ndim > 1 and len(output) == 1 else output for output in given])


def _kernel_spread(folder: Path, samples: list[Floats], given: list[list[Floats]]) -> list[float]:
    """The largest difference of each output when other kernels compute it: a taste of other hardware."""
    model = _opened(folder, samples, reference_kernels=True)
    spread = [0.0] * len(given[0])
    began = time.monotonic()
    for index, usual in enumerate(given):
        other = model.run(_sample(samples, index))
        spread = [
            max(so_far, float(np.abs(ours - theirs).max(initial=0.0)))
            for so_far, ours, theirs in zip(spread, usual, other, strict=True)
        ]
        if time.monotonic() - began > REFERENCE_S:
            break
    return spread


def resident_bytes() -> int:
    """Memory that this process holds now; at its highest, where the system does not tell now."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return _highest_bytes()
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_bytes() -> int:
    """The most memory that this process held since `forget_peak`; ever, where the system does not forget."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return _highest_bytes()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), resident_bytes())


def forget_peak() -> None:
    """Let the peak begin anew at what is held now. A system that does not allow it tells too much, never too little."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _highest_bytes() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, the one system without /proc


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
