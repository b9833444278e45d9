"""Makes one rung after the other: has its network made, converts it, measures the file; or tells why it cannot be.

Needs TensorFlow.
"""

from __future__ import annotations

import re
import time
from typing import Final

from protocol.errors import FerryError
from publisher.learning.compression.network_cache import NetworkCache
from publisher.learning.conversion.tflite_converter import CONVERSIONS
from publisher.learning.measurement.evaluation import Evaluated, evaluate, wire_bytes
from publisher.learning.measurement.inspection import inspect
from publisher.learning.progress import Steps
from publisher.learning.tensorflow_import import load_tf_keras
from publisher.learning.training.train import TrainingResult
from publisher.learning.variants.rung import Impossible, Rung, wilson
from publisher.learning.variants.variant_spec import PARENT, VariantSpec

REASON_MAX_CHARS: Final = 240
STEPS_A_RUNG: Final = 2  # convert, measure


class RungBuilder:
    """Makes one rung after the other; remembers the parent's answers."""

    def __init__(self, trained: TrainingResult, workshop: NetworkCache, steps: Steps) -> None:
        self._trained = trained
        self._workshop = workshop
        self._steps = steps
        self._parent: Evaluated | None = None

    def step(self, way: VariantSpec) -> Rung | Impossible:
        """Make a rung, or tell why not. Raises what went wrong with the parent, for there is no ladder without."""
        begun = 0
        try:
            network = self._workshop.network(way.stage, way.name)
            self._steps.begin(f"converting to {way.name}")
            began_s = time.monotonic()
            load_tf_keras().backend.clear_session()  # else names of tensors depend on what was converted before
            tflite = CONVERSIONS[way.ending](network, self._trained.calibration.samples)
            begun = 1
            self._steps.end(f"measuring {way.name}")
            rung = self._measured(way, tflite, began_s)
            begun = 2
            self._steps.end(f"measured {way.name}")
            return rung
        except Exception as why:
            if way.name == PARENT:
                raise
            self._steps.end(f"{way.name} is not possible", STEPS_A_RUNG - begun)
            return Impossible(way.name, way.technique(), reason_of(why))

    def _measured(self, way: VariantSpec, tflite: bytes, began_s: float) -> Rung:
        data, title = self._trained.recipe.data, f"the rung {way.name}"
        seen = inspect(tflite, name=title)
        evaluated = evaluate(tflite, data.x_test, data.y_test, name=title)
        self._parent = parent = self._parent or evaluated
        right, samples = _right(evaluated), evaluated.measured.accuracy_samples
        low, high = wilson(right, samples)
        measured = evaluated.measured
        return Rung(
            name=way.name,
            technique=way.technique(),
            precision=seen.precision,
            tflite=tflite,
            wire_bytes=wire_bytes(tflite),
            accuracy=right / samples,
            accuracy_low=low,
            accuracy_high=high,
            accuracy_samples=samples,
            accuracy_change=(right - _right(parent)) / samples,
            agreement=float((evaluated.answers == parent.answers).mean()),
            latency_ms_p50=measured.latency_ms_p50 or 0.0,
            latency_ms_p95=measured.latency_ms_p95 or 0.0,
            memory_bytes=evaluated.requires.memory_bytes,
            memory_peak_bytes=evaluated.memory_peak_bytes,
            sparsity=evaluated.sparsity,
            took_s=self._workshop.took_s(way.stage) + time.monotonic() - began_s,
        )


def reason_of(why: Exception) -> str:
    """Why a rung cannot be, in a line for a person."""
    if isinstance(why, FerryError):
        return str(why)
    unknown = re.search(r"Layer (\S+?):<class '(?:[\w.]*\.)?(\w+)'> is not supported", str(why))
    if unknown:
        return f"the technique does not know the layer {unknown[1]}, a {unknown[2]}"
    words = " ".join(re.sub(r"\{\{.*?\}\}|\[Op:.*", "", str(why)).split())  # without TensorFlow's own addresses
    cut = words if len(words) <= REASON_MAX_CHARS else words[: REASON_MAX_CHARS - 1] + "…"
    return f"the technique failed: {cut or type(why).__name__}"


def _right(evaluated: Evaluated) -> int:
    return round((evaluated.measured.accuracy or 0.0) * evaluated.measured.accuracy_samples)
