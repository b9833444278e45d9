"""The ladder: a trained network, compressed in every way that it can be, and each way measured.

A technique that fails for a network is a rung that is told as not possible; the others are made all the same. Needs
TensorFlow.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from protocol.errors import BadInput, FerryError
from publisher.core.pareto import front
from publisher.learning.convert import CONVERSIONS
from publisher.learning.distill import Study
from publisher.learning.evaluate import Evaluated, evaluate, wire_bytes
from publisher.learning.frameworks import load_tf_keras
from publisher.learning.inspect import inspect
from publisher.learning.progress import OnProgress, Steps, silent
from publisher.learning.recipe import Recipe
from publisher.learning.rung import Impossible, Rung, wilson
from publisher.learning.settings import TrainSettings
from publisher.learning.train import Trained, train
from publisher.learning.way import DISTILLED, PARENT, RUNGS, STUDENT, Stage, Way, ways
from publisher.learning.workshop import Workshop, epochs_of

REASON_MAX_CHARS: Final = 240
STEPS_A_RUNG: Final = 2  # convert, measure


@dataclass(frozen=True, slots=True, eq=False)
class Ladder:
    """What was made of a trained network, the parent first, and what could not be."""

    trained: Trained
    rungs: tuple[Rung, ...]
    impossible: tuple[Impossible, ...]
    study: Study | None
    took_s: float
    cpu_s: float

    @property
    def parent(self) -> Rung:
        """The rung that all others are compared with."""
        return self.rungs[0]

    def rung(self, name: str) -> Rung:
        """The rung of this name. Raises BadInput that says why there is none."""
        for rung in self.rungs:
            if rung.name == name:
                return rung
        reason = next((lost.reason for lost in self.impossible if lost.name == name), "it was not made")
        raise BadInput(f"there is no rung {name}: {reason}", hint=f"made were {', '.join(r.name for r in self.rungs)}")

    def facts(self) -> dict[str, Any]:
        """Plain JSON: the rungs, and by what data, seed and versions they can be compared with others."""
        trained = self.trained
        return {
            "recipe": trained.recipe.name,
            "recipe_sha256": trained.recipe_sha256,
            "data_sha256": trained.data_sha256,
            "calibration_sha256": hashlib.sha256(trained.calibration.tobytes()).hexdigest(),
            "calibration_samples": len(trained.calibration),
            "settings": dataclasses.asdict(trained.settings),
            "parent": self.parent.name,
            "rungs": [rung.facts() for rung in self.rungs],
            "front": list(front({rung.name: rung.figures() for rung in self.rungs})),
            "impossible": [lost.facts() for lost in self.impossible],
            "distillation": None if self.study is None else self.study.facts(),
            "took_s": round(self.took_s, 1),
            "cpu_s": round(self.cpu_s, 1),
            "versions": trained.versions,
        }


def climb_recipe(
    recipe: Recipe,
    names: Sequence[str] = RUNGS,
    *,
    seed: int | None = None,
    epochs: int | None = None,
    distill_seeds: int = 1,
    on_progress: OnProgress = silent,
) -> Ladder:
    """Train the recipe, and make the rungs of these names. Raises BadRecipe, BadInput."""
    settings = recipe.settings.having(epochs=epochs, seed=seed)
    began_s, began_cpu_s = time.monotonic(), _cpu_s()
    total = settings.epochs + steps_of(names, settings, distill_seeds)
    trained = train(
        dataclasses.replace(recipe, settings=settings),
        on_progress=lambda done, _, what: on_progress(done, total, what),
    )
    steps = Steps(total, on_progress)
    steps.end("trained", settings.epochs)
    ladder = climb(trained, names, settings=settings, distill_seeds=distill_seeds, steps=steps)
    return dataclasses.replace(ladder, took_s=time.monotonic() - began_s, cpu_s=_cpu_s() - began_cpu_s)


def climb(
    trained: Trained,
    names: Sequence[str] = RUNGS,
    *,
    settings: TrainSettings | None = None,
    distill_seeds: int = 1,
    steps: Steps | None = None,
) -> Ladder:
    """Make the rungs of these names, and the parent. Raises BadInput for a name that is none.

    `settings` say how networks are trained further, where that is not as `trained` was; `distill_seeds` over 1 compares
    the student with and without its teacher over as many seeds. `steps_of` tells how many `steps` there will be.
    """
    settings = settings or trained.settings
    steps = steps or Steps(steps_of(names, settings, distill_seeds), silent)
    began_s, began_cpu_s = time.monotonic(), _cpu_s()
    workshop = Workshop(trained, settings, steps)
    climber = _Climber(trained, workshop, steps)
    made = [climber.step(way) for way in ways(names)]
    rungs = tuple(rung for rung in made if isinstance(rung, Rung))
    study = workshop.study(distill_seeds) if _studied(names, distill_seeds) else None
    return Ladder(
        trained=trained,
        rungs=rungs,
        impossible=tuple(rung for rung in made if isinstance(rung, Impossible)),
        study=study,
        took_s=time.monotonic() - began_s,
        cpu_s=_cpu_s() - began_cpu_s,
    )


def steps_of(names: Sequence[str], settings: TrainSettings, distill_seeds: int = 1) -> int:
    """How many steps the progress of a climb counts. Raises BadInput."""
    wanted = ways(names)
    stages = {stage for way in wanted for stage in way.stage.path()}
    if _studied(names, distill_seeds):
        stages |= {Stage(origin, seed_offset=seed) for origin in (STUDENT, DISTILLED) for seed in range(distill_seeds)}
    return STEPS_A_RUNG * len(wanted) + sum(epochs_of(stage, settings) for stage in stages)


def _studied(names: Sequence[str], distill_seeds: int) -> bool:
    return distill_seeds > 1 and {STUDENT, DISTILLED} <= set(names)


class _Climber:
    """Makes one rung after the other; remembers the parent's answers."""

    def __init__(self, trained: Trained, workshop: Workshop, steps: Steps) -> None:
        self._trained = trained
        self._workshop = workshop
        self._steps = steps
        self._parent: Evaluated | None = None

    def step(self, way: Way) -> Rung | Impossible:
        """Make a rung, or tell why not. Raises what went wrong with the parent, for there is no ladder without."""
        begun = 0
        try:
            network = self._workshop.network(way.stage, way.name)
            self._steps.begin(f"converting to {way.name}")
            began_s = time.monotonic()
            load_tf_keras().backend.clear_session()  # else names of tensors depend on what was converted before
            tflite = CONVERSIONS[way.ending](network, self._trained.calibration)
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

    def _measured(self, way: Way, tflite: bytes, began_s: float) -> Rung:
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


def _cpu_s() -> float:
    """Processor time of this process and of the children that it waited for."""
    told = os.times()
    return told.user + told.system + told.children_user + told.children_system
