"""The ladder: a trained network, compressed in many ways, each measured."""

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
from publisher.learning.data.calibration import KeptCalibration
from publisher.learning.progress import Steps, ignore_progress
from publisher.learning.recipe.recipe import Recipe
from publisher.learning.recipe.train_settings import TrainSettings
from publisher.learning.training.lineage import origin_of
from publisher.learning.training.train import TrainingResult, settings_of, train
from publisher.learning.training.warm_start import WarmStart, calibration_npz, weights_npz
from publisher.learning.variants.rung import ImpossibleRung, Rung
from publisher.learning.variants.schedule import EarlierVersion, Schedule
from publisher.learning.variants.variant_spec import DISTILLED, RUNGS, STUDENT, NetworkSpec, VariantSpec, variant_specs


@dataclass(frozen=True, slots=True, eq=False)
class Ladder:
    """The rungs, the parent first; `networks` are those they were converted from."""

    trained: TrainingResult
    schedule: Schedule
    rungs: tuple[Rung, ...]
    impossible: tuple[ImpossibleRung, ...]
    networks: Mapping[str, Any]
    study: Study | None
    took_s: float
    cpu_s: float

    @property
    def parent(self) -> Rung:
        return self.rungs[0]

    def rung(self, name: str) -> Rung:
        """The rung of this name. Raises BadInput with the reason why there is none."""
        for rung in self.rungs:
            if rung.name == name:
                return rung
        reason = next((rung.reason for rung in self.impossible if rung.name == name), "it was not made")
        raise BadInput(f"there is no rung {name}: {reason}", hint=f"made were {', '.join(r.name for r in self.rungs)}")

    def kept(self, names: Sequence[str]) -> dict[str, bytes]:
        """Weights of the networks behind these rungs, by name, without the parent's."""
        specs = (spec.network for spec in variant_specs(names))
        networks = dict.fromkeys(network.name for network in specs if network != NetworkSpec())
        return {name: weights_npz(self.networks[name]) for name in networks}

    def continued(self, names: Sequence[str]) -> dict[str, str]:
        """What each of these rungs continues, for a person; empty without a start."""
        origins = {name: self.schedule.origin(VariantSpec.parse(name).network) for name in names}
        return {name: origin for name, origin in origins.items() if origin is not None}

    def facts(self) -> dict[str, Any]:
        """Plain JSON: the rungs, and the data, settings and versions behind them."""
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
            "impossible": [rung.facts() for rung in self.impossible],
            "distillation": None if self.study is None else self.study.facts(),
            "took_s": round(self.took_s, 1),
            "cpu_s": round(self.cpu_s, 1),
            "versions": trained.versions,
        }


def build_recipe_ladder(
    recipe: Recipe,
    names: Sequence[str] = RUNGS,
    *,
    seed: int | None = None,
    epochs: int | None = None,
    scramble_labels: bool | None = None,
    start: WarmStart | None = None,
    kept: KeptCalibration | None = None,
    distill_seeds: int = 1,
    steps: Steps | None = None,
) -> Ladder:
    """Train the recipe, from `start` if given, and build the rungs of these names.

    `seed`, `epochs` and `scramble_labels` override its settings; `kept` is an earlier
    calibration set. Adds its number of steps to `steps`. Raises BadRecipe, BadInput.
    """
    fresh = recipe.settings.having(epochs=epochs, seed=seed, scramble_labels=scramble_labels)
    settings = settings_of(recipe, start, epochs=epochs, seed=seed, scramble_labels=scramble_labels)
    steps = steps or Steps(0, ignore_progress)
    steps.expect(settings.epochs + count_steps(names, _schedule(fresh, settings, start), distill_seeds))
    began_s, began_cpu_s = time.monotonic(), _cpu_s()
    if start is not None:
        check_students(recipe, start, names)
    trained = train(dataclasses.replace(recipe, settings=settings), start=start, kept=kept, on_progress=steps.within())
    steps.end("trained", settings.epochs)
    ladder = build_ladder(trained, names, settings=fresh, distill_seeds=distill_seeds, steps=steps)
    return dataclasses.replace(ladder, took_s=time.monotonic() - began_s, cpu_s=_cpu_s() - began_cpu_s)


def build_trained_ladder(
    trained: TrainingResult,
    names: Sequence[str] = RUNGS,
    *,
    seed: int | None = None,
    epochs: int | None = None,
    steps: Steps,
) -> Ladder:
    """Build the rungs of a network that was trained elsewhere. Raises as above."""
    settings = trained.settings.having(epochs=epochs, seed=seed)
    trained = dataclasses.replace(trained, settings=settings)
    steps.expect(count_steps(names, _schedule(settings, settings, None)))
    return build_ladder(trained, names, steps=steps)


def build_ladder(
    trained: TrainingResult,
    names: Sequence[str] = RUNGS,
    *,
    settings: TrainSettings | None = None,
    distill_seeds: int = 1,
    steps: Steps | None = None,
) -> Ladder:
    """Build the parent and the rungs of these names. Raises BadInput for a bad name.

    `settings` are for further training, by default those of `trained`; with more than
    one `distill_seeds` the student is compared with and without its teacher on each.
    """
    schedule = _schedule(settings or trained.settings, trained.settings, trained.start)
    steps = steps or Steps(count_steps(names, schedule, distill_seeds), ignore_progress)
    began_s, began_cpu_s = time.monotonic(), _cpu_s()
    cache = NetworkCache(trained, schedule, steps)
    builder = RungBuilder(trained, cache, steps)
    built = [builder.build(spec) for spec in variant_specs(names)]
    study = cache.study(distill_seeds) if _has_study(names, schedule, distill_seeds) else None
    return Ladder(
        trained=trained,
        schedule=schedule,
        rungs=tuple(rung for rung in built if isinstance(rung, Rung)),
        impossible=tuple(rung for rung in built if isinstance(rung, ImpossibleRung)),
        networks=cache.networks(),
        study=study,
        took_s=time.monotonic() - began_s,
        cpu_s=_cpu_s() - began_cpu_s,
    )


def count_steps(names: Sequence[str], schedule: Schedule, distill_seeds: int = 1) -> int:
    """How many progress steps `build_ladder` takes. Raises BadInput."""
    specs = variant_specs(names)
    networks = {network for spec in specs for network in schedule.chain(spec.network)}
    if _has_study(names, schedule, distill_seeds):
        networks |= {
            NetworkSpec(origin, seed_offset=offset)
            for origin in (STUDENT, DISTILLED)
            for offset in range(distill_seeds)
        }
    return STEPS_A_RUNG * len(specs) + sum(map(schedule.epochs, networks))


def _schedule(fresh: TrainSettings, settings: TrainSettings, start: WarmStart | None) -> Schedule:
    """`settings` are those with which the recipe's own network continues."""
    earlier = None if start is None else EarlierVersion(start.version, frozenset(start.networks), settings)
    return Schedule(fresh, earlier)


def _has_study(names: Sequence[str], schedule: Schedule, distill_seeds: int) -> bool:
    """Not with a start: a student that continues has an advantage over a new one."""
    return distill_seeds > 1 and schedule.earlier is None and {STUDENT, DISTILLED} <= set(names)


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
