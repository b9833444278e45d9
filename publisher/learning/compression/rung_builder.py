"""Builds rungs: network, converted file and measurements. Needs TensorFlow."""

from __future__ import annotations

import re
import time
from typing import Final

from protocol.errors import FerryError
from publisher.learning.compression.network_cache import NetworkCache
from publisher.learning.conversion.tflite_converter import CONVERSIONS
from publisher.learning.measurement.evaluation import Evaluation, evaluate, wire_bytes
from publisher.learning.measurement.inspection import inspect
from publisher.learning.progress import Steps
from publisher.learning.tensorflow_import import load_tf_keras
from publisher.learning.training.train import TrainingResult
from publisher.learning.variants.rung import ImpossibleRung, Rung, wilson
from publisher.learning.variants.variant_spec import PARENT, VariantSpec

REASON_MAX_CHARS: Final = 240
STEPS_A_RUNG: Final = 2  # convert, measure


class RungBuilder:
    """Builds the parent first, then any other rung; keeps the parent's predictions."""

    def __init__(self, trained: TrainingResult, cache: NetworkCache, steps: Steps) -> None:
        self._trained = trained
        self._cache = cache
        self._steps = steps
        self._parent: Evaluation | None = None

    def build(self, spec: VariantSpec) -> Rung | ImpossibleRung:
        """Build a rung, or return why it is impossible. Raises for the parent."""
        steps_done = 0
        try:
            network = self._cache.network(spec.network, spec.name)
            self._steps.begin(f"converting to {spec.name}")
            began_s = time.monotonic()
            load_tf_keras().backend.clear_session()  # else tensor names depend on earlier conversions
            tflite = CONVERSIONS[spec.number_format](network, self._trained.calibration.samples)
            steps_done = 1
            self._steps.end(f"measuring {spec.name}")
            rung = self._measure(spec, tflite, began_s)
            steps_done = 2
            self._steps.end(f"measured {spec.name}")
            return rung
        except Exception as error:
            if spec.name == PARENT:
                raise
            self._steps.end(f"{spec.name} is not possible", STEPS_A_RUNG - steps_done)
            return ImpossibleRung(spec.name, spec.technique(), reason_of(error))

    def _measure(self, spec: VariantSpec, tflite: bytes, began_s: float) -> Rung:
        data, title = self._trained.recipe.data, f"the rung {spec.name}"
        inspection = inspect(tflite, name=title)
        evaluation = evaluate(tflite, data.x_test, data.y_test, name=title)
        self._parent = parent = self._parent or evaluation
        right, samples = _right(evaluation), evaluation.measured.accuracy_samples
        low, high = wilson(right, samples)
        measured = evaluation.measured
        return Rung(
            name=spec.name,
            technique=spec.technique(),
            precision=inspection.precision,
            tflite=tflite,
            wire_bytes=wire_bytes(tflite),
            accuracy=right / samples,
            accuracy_low=low,
            accuracy_high=high,
            accuracy_samples=samples,
            accuracy_change=(right - _right(parent)) / samples,
            agreement=float((evaluation.predictions == parent.predictions).mean()),
            latency_ms_p50=measured.latency_ms_p50 or 0.0,
            latency_ms_p95=measured.latency_ms_p95 or 0.0,
            memory_bytes=evaluation.requires.memory_bytes,
            memory_peak_bytes=evaluation.memory_peak_bytes,
            sparsity=evaluation.sparsity,
            took_s=self._cache.took_s(spec.network) + time.monotonic() - began_s,
        )


def reason_of(error: Exception) -> str:
    """Why a rung is impossible, in one line for a person."""
    if isinstance(error, FerryError):
        return str(error)
    unknown = re.search(r"Layer (\S+?):<class '(?:[\w.]*\.)?(\w+)'> is not supported", str(error))
    if unknown:
        return f"the technique does not know the layer {unknown[1]}, a {unknown[2]}"
    words = " ".join(re.sub(r"\{\{.*?\}\}|\[Op:.*", "", str(error)).split())  # without TensorFlow's node names
    cut = words if len(words) <= REASON_MAX_CHARS else words[: REASON_MAX_CHARS - 1] + "…"
    return f"the technique failed: {cut or type(error).__name__}"


def _right(evaluation: Evaluation) -> int:
    return round((evaluation.measured.accuracy or 0.0) * evaluation.measured.accuracy_samples)
