"""Measures a converted network of a recipe by its task, in the device's runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protocol.errors import BadModel
from publisher.learning.data.dataset import Array, Floats
from publisher.learning.measurement.evaluation import SAMPLES_MAX
from publisher.learning.measurement.sandbox import Ran, run
from publisher.learning.objectives.objective import Scoring

VALUES_MAX: Final = 50_000_000  # of all outputs, which are kept to compare other rungs with: 200 MB


@dataclass(frozen=True, slots=True, eq=False)
class RungEvaluation:
    """`figure` is the task's measure (0-1) on `samples`; `output` is (samples, …)."""

    figure: float
    samples: int
    output: Floats
    ran: Ran


def evaluate_rung(tflite: bytes, inputs: Sequence[Floats], y: Array, scoring: Scoring, *, name: str) -> RungEvaluation:
    """Run it on `inputs`, in the file's order, with truths `y`. Raises BadModel."""
    samples = min(len(y), SAMPLES_MAX, max(1, VALUES_MAX // scoring.output_values))
    ran = run(tflite, [x[:samples] for x in inputs], name)
    if len(ran.outputs) != 1:
        raise BadModel(f"{name} gives {len(ran.outputs)} tensors", hint="a recipe's network gives one")
    return RungEvaluation(scoring.figure(ran.outputs[0], y[:samples]), samples, ran.outputs[0], ran)
