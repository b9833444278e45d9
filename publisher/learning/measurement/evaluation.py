"""How good, how fast and how heavy a .tflite file is, measured with the device's own runtime. Imports no TensorFlow."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from protocol.content.encodings import encode_zstd
from protocol.errors import BadModel
from protocol.messages.manifest import Measured, Requirements
from publisher.learning.data.dataset import Floats, Labels
from publisher.learning.measurement.sandbox import run

SAMPLES_MAX: Final = 10_000  # accuracy is then known to half a percent


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """The numbers for the manifest, the model's answers (samples,), for others to be compared with, and more numbers.

    `sparsity` is the share of zero weights in the file, 0 to 1.
    """

    measured: Measured
    requires: Requirements
    answers: Labels
    memory_peak_bytes: int
    sparsity: float


def evaluate(
    tflite: bytes, x: Floats, y: Labels | None, *, name: str, parent_answers: Labels | None = None
) -> Evaluated:
    """Measure a classifier of one input on `x` (samples, features …), with true classes `y` where there are any.

    `parent_answers` are those of the float32 parent to the same samples. Raises BadModel.
    """
    x, y = x[:SAMPLES_MAX], None if y is None else y[:SAMPLES_MAX]
    ran = run(tflite, [x], name)
    answers = classes_of(ran.outputs, name)
    measured = Measured(
        accuracy=None if y is None else float((answers == y).mean()),
        accuracy_samples=0 if y is None else len(y),
        agreement=None if parent_answers is None else float((answers == parent_answers).mean()),
        latency_ms_p50=ran.latency_ms_p50,
        latency_ms_p95=ran.latency_ms_p95,
    )
    requires = Requirements(memory_bytes=ran.memory_bytes)
    return Evaluated(measured, requires, answers, ran.memory_peak_bytes, ran.sparsity)


def wire_bytes(tflite: bytes) -> int:
    """What a release would send of a file to a device that has nothing: as it is, or in zstd where that is less."""
    with tempfile.TemporaryDirectory(prefix="edgeferry-") as folder:
        plain, packed = Path(folder) / "plain", Path(folder) / "packed"
        plain.write_bytes(tflite)
        return packed.stat().st_size if encode_zstd(plain, packed) else len(tflite)


def classes_of(outputs: list[Floats], name: str) -> Labels:
    """The class that each sample was given: the highest of the one output's numbers. Raises BadModel."""
    if len(outputs) != 1 or outputs[0].ndim != 2:
        shapes = ", ".join(str(list(output.shape[1:])) for output in outputs)
        raise BadModel(
            f"{name} is no classifier: it gives {shapes}", hint="leave y out of the data; accuracy is for classes"
        )
    answers: Labels = outputs[0].argmax(axis=1).astype(np.int64)
    return answers
