"""How good, how fast and how heavy a .tflite file is, measured with the device's own runtime. Imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from protocol.errors import BadModel
from protocol.manifest import Measured, Requirements
from publisher.learning.data import Floats, Labels
from publisher.learning.sandbox import run

SAMPLES_MAX: Final = 10_000  # accuracy is then known to half a percent


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """The numbers for the manifest, and the model's answers (samples,), for others to be compared with."""

    measured: Measured
    requires: Requirements
    answers: Labels


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
    return Evaluated(measured, Requirements(memory_bytes=ran.memory_bytes), answers)


def classes_of(outputs: list[Floats], name: str) -> Labels:
    """The class that each sample was given: the highest of the one output's numbers. Raises BadModel."""
    if len(outputs) != 1 or outputs[0].ndim != 2:
        shapes = ", ".join(str(list(output.shape[1:])) for output in outputs)
        raise BadModel(
            f"{name} is no classifier: it gives {shapes}", hint="leave y out of the data; accuracy is for classes"
        )
    answers: Labels = outputs[0].argmax(axis=1).astype(np.int64)
    return answers
