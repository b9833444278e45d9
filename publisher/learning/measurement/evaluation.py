"""Measures accuracy, latency and memory of a .tflite file in the device's runtime."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from protocol.content.encodings import encode_zstd
from protocol.errors import BadModel
from protocol.messages.contract import Contract
from protocol.messages.manifest import Measured, Requirements
from publisher.learning.data.dataset import Array, Labels
from publisher.learning.data.golden_samples import GoldenSamples
from publisher.learning.data.npz_data import UserData
from publisher.learning.measurement.sandbox import run

SAMPLES_MAX: Final = 10_000  # accuracy is then known to half a percent


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """`predictions` (samples,) are classes; `sparsity` is the share of zero weights."""

    measured: Measured
    requires: Requirements
    predictions: Labels
    memory_peak_bytes: int
    sparsity: float


def measure(
    tflite: bytes,
    name: str,
    contract: Contract,
    user_data: UserData | None,
    inputs: GoldenSamples,
    parent: Labels | None = None,
) -> tuple[Measured, Requirements, Labels | None]:
    """Measure on classified `user_data`, else on `inputs`. Raises BadModel."""
    if user_data is not None and user_data.y is not None:
        evaluation = evaluate(tflite, user_data.inputs[0], user_data.y, name=name, parent=parent)
        return evaluation.measured, evaluation.requires, evaluation.predictions
    ran = run(tflite, inputs.rows, name, contract=contract, steps=inputs.steps)
    measured = Measured(latency_ms_p50=ran.latency_ms_p50, latency_ms_p95=ran.latency_ms_p95)
    return measured, Requirements(memory_bytes=ran.memory_bytes), None


def evaluate(tflite: bytes, x: Array, y: Labels, *, name: str, parent: Labels | None = None) -> Evaluation:
    """Measure a classifier on `x` (samples, …) and classes `y`. Raises BadModel.

    `parent` are the float32 parent's predictions for the same samples.
    """
    x, y = x[:SAMPLES_MAX], y[:SAMPLES_MAX]
    ran = run(tflite, [x], name)
    predictions = predicted_classes(ran.outputs, name)
    measured = Measured(
        accuracy=float((predictions == y).mean()),
        accuracy_samples=len(y),
        agreement=None if parent is None else float((predictions == parent).mean()),
        latency_ms_p50=ran.latency_ms_p50,
        latency_ms_p95=ran.latency_ms_p95,
    )
    requires = Requirements(memory_bytes=ran.memory_bytes)
    return Evaluation(measured, requires, predictions, ran.memory_peak_bytes, ran.sparsity)


def wire_bytes(tflite: bytes) -> int:
    """What a device that has nothing would fetch: the file, or its zstd if smaller."""
    with tempfile.TemporaryDirectory(prefix="edgeferry-") as folder:
        plain, packed = Path(folder) / "plain", Path(folder) / "packed"
        plain.write_bytes(tflite)
        return packed.stat().st_size if encode_zstd(plain, packed) else len(tflite)


def predicted_classes(outputs: list[Array], name: str) -> Labels:
    """The argmax of the single output, for each sample. Raises BadModel."""
    if len(outputs) != 1 or outputs[0].ndim != 2:
        shapes = ", ".join(str(list(output.shape[1:])) for output in outputs)
        raise BadModel(
            f"{name} is no classifier: it gives {shapes}", hint="leave y out of the data; accuracy is for classes"
        )
    predictions: Labels = outputs[0].argmax(axis=1).astype(np.int64)
    return predictions
