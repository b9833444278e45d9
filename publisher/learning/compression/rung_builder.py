"""Builds rungs: network, converted file and measurements. Needs TensorFlow."""

from __future__ import annotations

import json
import re
import time
from typing import Final

from protocol.errors import FerryError
from publisher.learning.compression.ladder_record import Record
from publisher.learning.compression.network_cache import NetworkCache
from publisher.learning.conversion.tflite_converter import CONVERSIONS
from publisher.learning.measurement.evaluation import wire_bytes
from publisher.learning.measurement.inspection import Inspection, inspect
from publisher.learning.measurement.rung_evaluation import RungEvaluation, evaluate_rung
from publisher.learning.progress import Steps
from publisher.learning.tensorflow_import import load_tf_keras
from publisher.learning.training.train import TrainingResult
from publisher.learning.variants.rung import ImpossibleRung, Rung, rung_of_facts, wilson
from publisher.learning.variants.variant_spec import PARENT, VariantSpec

REASON_MAX_CHARS: Final = 240
STEPS_A_RUNG: Final = 2  # convert, measure


class RungBuilder:
    """Builds the parent first, then any other rung; keeps the parent's predictions."""

    def __init__(self, trained: TrainingResult, cache: NetworkCache, steps: Steps, record: Record) -> None:
        self._trained = trained
        self._record = record
        self._cache = cache
        self._steps = steps
        self._data = trained.recipe.data
        self._scoring = trained.recipe.objective.scoring(self._data)
        self._parent: RungEvaluation | None = None
        self._parent_tflite = b""

    def restored(self, spec: VariantSpec) -> Rung | None:
        """The rung as an interrupted ladder has made it; None if it has not."""
        try:
            facts = json.loads(self._record[facts_file(spec.name)])
            made = rung_of_facts(facts, self._record[f"{spec.name}.tflite"])
        except (ValueError, KeyError, TypeError):  # of another version, or damaged
            return None
        if made and spec.name == PARENT:
            self._parent_tflite = made.tflite
        return made

    def build(self, spec: VariantSpec) -> Rung | ImpossibleRung:
        """Build a rung, or return why it is impossible. Raises for the parent."""
        steps_done = 0
        try:
            network = self._cache.network(spec.network, spec.name)
            self._steps.begin(f"converting to {spec.name}")
            began_s = time.monotonic()
            load_tf_keras().backend.clear_session()  # else tensor names depend on earlier conversions
            tflite = CONVERSIONS[spec.number_format](network, self._trained.calibration.inputs)
            steps_done = 1
            self._steps.end(f"measuring {spec.name}")
            rung = self._measure(spec, tflite, began_s)
            steps_done = 2
            self._steps.end(f"measured {spec.name}")
            return self._kept(rung)
        except Exception as error:
            if spec.name == PARENT:
                raise
            self._steps.end(f"{spec.name} is not possible", STEPS_A_RUNG - steps_done)
            return ImpossibleRung(spec.name, spec.technique(), reason_of(error))

    def _kept(self, rung: Rung) -> Rung:
        self._record[f"{rung.name}.tflite"] = rung.tflite
        self._record[facts_file(rung.name)] = json.dumps(rung.facts()).encode()  # last: it names what is there
        return rung

    def _measure(self, spec: VariantSpec, tflite: bytes, began_s: float) -> Rung:
        title = f"the rung {spec.name}"
        inspection = inspect(tflite, name=title)
        evaluation = self._evaluate(tflite, inspection, title)
        parent = self._parent_or(evaluation)
        low, high = wilson(evaluation.figure * evaluation.samples, evaluation.samples)
        ran = evaluation.ran
        return Rung(
            name=spec.name,
            technique=spec.technique(),
            precision=inspection.precision,
            tflite=tflite,
            wire_bytes=wire_bytes(tflite),
            accuracy=evaluation.figure,
            accuracy_low=low,
            accuracy_high=high,
            accuracy_samples=evaluation.samples,
            accuracy_change=evaluation.figure - parent.figure,
            agreement=self._scoring.agreement(evaluation.output, parent.output),
            latency_ms_p50=ran.latency_ms_p50,
            latency_ms_p95=ran.latency_ms_p95,
            memory_bytes=ran.memory_bytes,
            memory_peak_bytes=ran.memory_peak_bytes,
            sparsity=ran.sparsity,
            took_s=self._cache.took_s(spec.network) + time.monotonic() - began_s,
        )

    def _evaluate(self, tflite: bytes, inspection: Inspection, title: str) -> RungEvaluation:
        tensors = [tensor.name for tensor in inspection.contract.inputs]
        return evaluate_rung(tflite, self._trained.held_back(tensors), self._data.y_test, self._scoring, name=title)

    def _parent_or(self, evaluation: RungEvaluation) -> RungEvaluation:
        """The parent's evaluation, made again after an interruption; else this one."""
        if self._parent is None and self._parent_tflite:
            title = f"the rung {PARENT}"
            self._parent = self._evaluate(self._parent_tflite, inspect(self._parent_tflite, name=title), title)
        self._parent = self._parent or evaluation
        return self._parent


def facts_file(name: str) -> str:
    """Where a record has the figures of a rung."""
    return f"rung-{name}.json"


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
