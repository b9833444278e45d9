"""The program of `sandbox`: opens and runs one model, and returns what it measured."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from protocol.content.difference import difference
from protocol.errors import BadModel
from protocol.host.child_process import memory_peak_bytes, serve_job
from protocol.messages.contract import Contract, Tensor
from publisher.learning.data.dataset import Array
from publisher.learning.data.rows import load_rows, save_rows, stack_rows
from publisher.learning.measurement.examination import examine, is_stateful
from publisher.learning.measurement.tflite_interpreter import PLAIN, REFERENCE, USUAL, Interpreter, load_runtime

WARM_UPS: Final = 3
REFERENCE_S: Final = 10.0  # reference kernels are slow; what they show in this time is enough
NUDGES: Final = 3
NUDGE: Final = 1e-6  # of the largest value: kernels of other hardware differ by about as much after a few layers
NUDGED: Final = ("float32", "float16", "dynamic-range")  # integers are given and computed to the bit


def work(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Examine the model, or run it on inputs. Raises BadModel, MissingPart."""
    try:
        return run(folder, job) if job["inputs"] else examine(folder, job)
    except ValueError as wrong:  # a name that is not text, a shape that cannot be
        raise BadModel(str(wrong)) from None
    except MemoryError:
        raise BadModel("it needs more memory than a model of its size should") from None


@dataclass(frozen=True, slots=True)
class Runs:
    """Rows to run, and how: a model with state is opened anew for every `steps`."""

    path: str
    contract: Contract
    rows: Sequence[Array]  # of each input, (runs, …) or an array of arrays
    steps: int

    def open(self, kernels: str = USUAL) -> Interpreter:
        model = Interpreter(self.path, kernels=kernels, signature=self.contract.signature)
        for _ in range(WARM_UPS):
            model.run(self.tensors(0))
        return model

    def models(self, kernels: str = USUAL) -> Iterator[Interpreter]:
        """The model for each run in turn."""
        model = self.open(kernels)
        for index in range(len(self.rows[0])):
            if self.contract.stateful and index % self.steps == 0:
                model = Interpreter(self.path, kernels=kernels, signature=self.contract.signature)
            yield model

    def output_rows(self, outputs: Sequence[Array]) -> list[Array]:
        return [
            output[0] if self._batched(tensor) and output.ndim else output
            for tensor, output in zip(self.contract.outputs, outputs, strict=True)
        ]

    def tensors(self, index: int) -> list[Array]:
        """Whole inputs: a fixed batch is filled with copies of the row."""
        return [
            _whole(rows[index], tensor, self.contract.batch if self._batched(tensor) else 0)
            for rows, tensor in zip(self.rows, self.contract.inputs, strict=True)
        ]

    def _batched(self, tensor: Tensor) -> bool:
        return self.contract.row_shape(tensor) != tensor.shape


def run(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Run every sample and save the outputs; return latencies and memory."""
    rows = [load_rows(folder / f"input_{index}.npy") for index in range(job["inputs"])]
    load_runtime()
    path = str(folder / "model.tflite")
    contract = Contract.model_validate(job["contract"]) if job["contract"] else own_contract(Interpreter(path))
    runs = Runs(path, contract, rows, job["steps"])
    before_bytes = resident_bytes()
    reset_peak()
    model = runs.open()
    memory_bytes, peak_bytes = max(0, resident_bytes() - before_bytes), memory_peak_bytes() or 0
    facts = {"sparsity": model.sparsity(), "precision": model.precision()}
    del model
    latencies_ms: list[float] = []
    outputs: list[list[Array]] = []
    for index, model in enumerate(runs.models()):
        tensors = runs.tensors(index)
        began = time.perf_counter()
        computed = model.run(tensors)
        latencies_ms.append((time.perf_counter() - began) * 1_000)
        outputs.append(runs.output_rows(computed))
    for output in range(len(outputs[0])):
        save_rows(folder / f"output_{output}.npy", stack_rows([sample[output] for sample in outputs]))
    compared = compare(runs, outputs, nudge=facts["precision"] in NUDGED) if job["compare_kernels"] else {}
    return {
        "outputs": len(outputs[0]),
        "memory_bytes": memory_bytes,
        "memory_peak_bytes": max(memory_bytes, peak_bytes - before_bytes),
        "sparsity": facts["sparsity"],
        "latency_ms_p50": float(np.percentile(latencies_ms, 50)),
        "latency_ms_p95": float(np.percentile(latencies_ms, 95)),
        "differences": compared.get("differences", []),
        "not_compared": compared.get("not_compared", ""),
    }


def own_contract(model: Interpreter) -> Contract:
    """The contract of a file alone, with a batch of 1 where it is free."""
    inputs, outputs = model.inputs(), model.outputs()
    free_batch = any(tensor["signature"][:1] == [-1] for tensor in inputs)
    return Contract(
        inputs=tuple(_tensor(each, batch=True) for each in inputs),
        outputs=tuple(_tensor(each, batch=free_batch) for each in outputs),
        stateful=is_stateful(model.operations()),
    )


def compare(runs: Runs, usual: Sequence[Sequence[Array]], *, nudge: bool) -> dict[str, Any]:
    """How far each output of each run is off by other kernels and inputs hardly other.

    Infinite for not a number, or another size. `not_compared`: why other kernels could
    not run the file, which then are left out.
    """
    differences: list[list[float]] = [[] for _ in runs.contract.outputs]
    problem = ""
    for kernels in (REFERENCE, PLAIN):
        try:
            _compare(runs, usual, differences, kernels, None)
        except BadModel as lacking:
            problem = problem or lacking.message
    for seed in range(NUDGES if nudge else 0):
        _compare(runs, usual, differences, USUAL, np.random.default_rng(seed))
    return {"differences": differences, "not_compared": problem}


def _compare(
    runs: Runs,
    usual: Sequence[Sequence[Array]],
    differences: list[list[float]],
    kernels: str,
    nudge: np.random.Generator | None,
) -> None:
    began = time.monotonic()
    for index, model in enumerate(runs.models(kernels)):
        other = runs.output_rows(model.run([_nudged(each, nudge) for each in runs.tensors(index)]))
        for output, tensor in enumerate(runs.contract.outputs):
            error, _ = difference(tensor, usual[index][output], other[output])
            differences[output].append(float("inf") if error is None else error)
        if time.monotonic() - began > REFERENCE_S:
            break


def _nudged(values: Array, nudge: np.random.Generator | None) -> Array:
    if nudge is None or values.dtype.kind != "f" or not values.size:
        return values
    reach = NUDGE * float(np.abs(values).max())
    nudged: Array = (values + nudge.uniform(-reach, reach, values.shape)).astype(values.dtype)
    return nudged


def _whole(row: Array, tensor: Tensor, batch: int) -> Array:
    typed = np.array(row).astype(object if tensor.dtype == "string" else tensor.dtype)
    filled: Array = np.repeat(typed[None], batch, axis=0) if batch else typed
    return filled


def _tensor(facts: dict[str, Any], *, batch: bool) -> Tensor:
    shape = list(facts["signature"])
    if shape and shape[0] == -1 and batch:
        shape[0] = 1
    return Tensor(
        name=facts["name"][:200],
        shape=tuple(shape),
        dtype=facts["dtype"],
        scale=facts["scale"],
        zero_point=facts["zero_point"],
    )


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def reset_peak() -> None:
    """Reset the peak; if the system refuses, it is too high, never too low."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    serve_job(work)
