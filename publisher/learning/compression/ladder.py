"""The ladder: a trained network, compressed in every way that it can be, and each way measured.

A technique that fails for a network is a rung that is told as not possible; the others are made all the same. Needs
TensorFlow.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from protocol.errors import BadInput
from publisher.core.release.pareto import front
from publisher.learning.compression.distill import Study
from publisher.learning.compression.network_cache import NetworkCache, check_students
from publisher.learning.compression.rung_builder import STEPS_A_RUNG, RungBuilder
from publisher.learning.data.calibration import Kept
from publisher.learning.progress import Steps, silent
from publisher.learning.recipe.recipe import Recipe
from publisher.learning.recipe.train_settings import TrainSettings
from publisher.learning.training.lineage import origin_of
from publisher.learning.training.train import TrainingResult, settings_of, train
from publisher.learning.training.warm_start import Start, calibration_npz, weights_npz
from publisher.learning.variants.rung import Impossible, Rung
from publisher.learning.variants.schedule import Earlier, Schedule
from publisher.learning.variants.variant_spec import (
    DISTILLED,
    RUNGS,
    STUDENT,
    Transformation,
    VariantSpec,
    variant_specs,
)


@dataclass(frozen=True, slots=True, eq=False)
class Ladder:
    """What was made of a trained network, the parent first, and what could not be.

    `networks` are the tf_keras models that rungs were converted from, by the name of their stage.
    """

    trained: TrainingResult
    timetable: Schedule
    rungs: tuple[Rung, ...]
    impossible: tuple[Impossible, ...]
    networks: Mapping[str, Any]
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

    def kept(self, names: Sequence[str]) -> dict[str, bytes]:
        """The weights of the networks behind these rungs, by stage, for a later version; without the parent's."""
        stages = dict.fromkeys(way.stage.name for way in variant_specs(names) if way.stage != Transformation())
        return {stage: weights_npz(self.networks[stage]) for stage in stages}

    def continued(self, names: Sequence[str]) -> dict[str, str]:
        """What each of these rungs goes on from, for a person; nothing where there is no earlier version."""
        told = {name: self.timetable.origin(VariantSpec.parse(name).stage) for name in names}
        return {name: origin for name, origin in told.items() if origin is not None}

    def facts(self) -> dict[str, Any]:
        """Plain JSON: the rungs, and by what data, seed and versions they can be compared with others."""
        trained = self.trained
        return {
            **origin_of(trained),
            "data_sha256": trained.data_sha256,
            "calibration_sha256": hashlib.sha256(calibration_npz(trained.calibration.samples)).hexdigest(),
            "calibration_samples": len(trained.calibration.samples),
            "calibration_of": trained.calibration.version,
            "settings": dataclasses.asdict(trained.settings),
            "parent": self.parent.name,
            "goes_on_from": trained.parent,
            "continued": self.continued([rung.name for rung in self.rungs]),
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
    scramble_labels: bool | None = None,
    start: Start | None = None,
    kept: Kept | None = None,
    distill_seeds: int = 1,
    steps: Steps | None = None,
) -> Ladder:
    """Train the recipe, from `start` where there is one, and make the rungs of these names. Raises BadRecipe, BadInput.

    What is given stands in place of the recipe's settings; `kept` is an earlier calibration set; `steps` are told how
    many more to expect.
    """
    fresh = recipe.settings.having(epochs=epochs, seed=seed, scramble_labels=scramble_labels)
    settings = settings_of(recipe, start, epochs=epochs, seed=seed, scramble_labels=scramble_labels)
    steps = steps or Steps(0, silent)
    steps.expect(settings.epochs + steps_of(names, _timetable(fresh, settings, start), distill_seeds))
    began_s, began_cpu_s = time.monotonic(), _cpu_s()
    if start is not None:
        check_students(recipe, start, names)
    trained = train(dataclasses.replace(recipe, settings=settings), start=start, kept=kept, on_progress=steps.within())
    steps.end("trained", settings.epochs)
    ladder = climb(trained, names, settings=fresh, distill_seeds=distill_seeds, steps=steps)
    return dataclasses.replace(ladder, took_s=time.monotonic() - began_s, cpu_s=_cpu_s() - began_cpu_s)


def climb_trained(
    trained: TrainingResult,
    names: Sequence[str] = RUNGS,
    *,
    seed: int | None = None,
    epochs: int | None = None,
    steps: Steps,
) -> Ladder:
    """Make the rungs of a network that was trained elsewhere. Raises BadRecipe, BadInput.

    Techniques that train it further take their share of as many `epochs`; `steps` are told how many to expect.
    """
    settings = trained.settings.having(epochs=epochs, seed=seed)
    trained = dataclasses.replace(trained, settings=settings)
    steps.expect(steps_of(names, _timetable(settings, settings, None)))
    return climb(trained, names, steps=steps)


def climb(
    trained: TrainingResult,
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
    timetable = _timetable(settings or trained.settings, trained.settings, trained.start)
    steps = steps or Steps(steps_of(names, timetable, distill_seeds), silent)
    began_s, began_cpu_s = time.monotonic(), _cpu_s()
    workshop = NetworkCache(trained, timetable, steps)
    climber = RungBuilder(trained, workshop, steps)
    made = [climber.step(way) for way in variant_specs(names)]
    study = workshop.study(distill_seeds) if _studied(names, timetable, distill_seeds) else None
    return Ladder(
        trained=trained,
        timetable=timetable,
        rungs=tuple(rung for rung in made if isinstance(rung, Rung)),
        impossible=tuple(rung for rung in made if isinstance(rung, Impossible)),
        networks=workshop.networks(),
        study=study,
        took_s=time.monotonic() - began_s,
        cpu_s=_cpu_s() - began_cpu_s,
    )


def steps_of(names: Sequence[str], timetable: Schedule, distill_seeds: int = 1) -> int:
    """How many steps the progress of a climb counts. Raises BadInput."""
    wanted = variant_specs(names)
    stages = {stage for way in wanted for stage in timetable.path(way.stage)}
    if _studied(names, timetable, distill_seeds):
        stages |= {
            Transformation(origin, seed_offset=seed) for origin in (STUDENT, DISTILLED) for seed in range(distill_seeds)
        }
    return STEPS_A_RUNG * len(wanted) + sum(map(timetable.epochs, stages))


def _timetable(fresh: TrainSettings, settings: TrainSettings, start: Start | None) -> Schedule:
    """`settings` are those that the recipe's own network goes on with."""
    return Schedule(fresh, None if start is None else Earlier(start.version, frozenset(start.networks), settings))


def _studied(names: Sequence[str], timetable: Schedule, distill_seeds: int) -> bool:
    """A student that goes on is no fair rival of one that is trained from scratch."""
    return distill_seeds > 1 and timetable.earlier is None and {STUDENT, DISTILLED} <= set(names)


def _cpu_s() -> float:
    """Processor time of this process and of the children that it waited for."""
    told = os.times()
    return told.user + told.system + told.children_user + told.children_system
