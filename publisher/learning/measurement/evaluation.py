"""Measures accuracy, latency and memory of a .tflite file in the device's runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from protocol.content.encodings import encode_zstd
from protocol.messages.contract import Contract
from protocol.messages.manifest import Measured, Requirements
from protocol.tasks.outputs import real_numbers
from protocol.tasks.selection import task_of
from protocol.tasks.task import Outputs
from publisher.learning.data.dataset import Array
from publisher.learning.data.golden_samples import GoldenSamples
from publisher.learning.measurement.sandbox import run

SAMPLES_MAX: Final = 10_000  # accuracy is then known to half a percent

Answers = list[Outputs]


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredData:
    """Rows of each input, and the truth of each sample as the task takes it."""

    inputs: tuple[Array, ...]
    truths: Sequence[Any]


def measure(
    tflite: bytes,
    name: str,
    contract: Contract,
    data: MeasuredData | None,
    golden: GoldenSamples,
    parent: Answers | None = None,
) -> tuple[Measured, Requirements, Answers | None]:
    """Measure by the contract's task on `data`, else latency alone on golden inputs.

    `parent`: what the float32 parent answered. Raises BadModel.
    """
    if data is None:
        ran = run(tflite, golden.rows, name, contract=contract, steps=golden.steps)
        measured = Measured(latency_ms_p50=ran.latency_ms_p50, latency_ms_p95=ran.latency_ms_p95)
        return measured, Requirements(memory_bytes=ran.memory_bytes), None
    task, truths = task_of(contract), data.truths[:SAMPLES_MAX]
    ran = run(tflite, [rows[:SAMPLES_MAX] for rows in data.inputs], name, contract=contract)
    answers = answers_of(ran.outputs, contract)
    alike = None if parent is None else [task.alike(a, b) for a, b in zip(parent, answers, strict=True)]
    measured = Measured(
        accuracy=task.figure(answers, truths),
        accuracy_samples=len(truths),
        agreement=None if alike is None else sum(alike) / len(alike),
        latency_ms_p50=ran.latency_ms_p50,
        latency_ms_p95=ran.latency_ms_p95,
    )
    return measured, Requirements(memory_bytes=ran.memory_bytes), answers


def answers_of(outputs: Sequence[Array], contract: Contract) -> Answers:
    """For each sample the real numbers of all outputs, from arrays (samples, …)."""
    columns = [real_numbers(rows, tensor) for rows, tensor in zip(outputs, contract.outputs, strict=True)]
    return [[column[sample] for column in columns] for sample in range(len(columns[0]))]


def wire_bytes(tflite: bytes) -> int:
    """What a device that has nothing would fetch: the file, or its zstd if smaller."""
    with tempfile.TemporaryDirectory(prefix="edgeferry-") as folder:
        plain, packed = Path(folder) / "plain", Path(folder) / "packed"
        plain.write_bytes(tflite)
        return packed.stat().st_size if encode_zstd(plain, packed) else len(tflite)
