"""Builds ladders: trains, compresses in many ways, measures each. Needs TensorFlow."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence

from protocol.errors import FerryError
from publisher.learning.compression.distill import Study
from publisher.learning.compression.ladder import Ladder, OnRung, ignore_rung
from publisher.learning.compression.ladder_record import Record
from publisher.learning.compression.network_cache import NetworkCache, check_students, weights_file
from publisher.learning.compression.rung_builder import STEPS_A_RUNG, RungBuilder
from publisher.learning.compression.training_work import affordable
from publisher.learning.data.calibration import KeptCalibration
from publisher.learning.progress import Steps, ignore_progress
from publisher.learning.recipe.recipe import Recipe
from publisher.learning.recipe.train_settings import TrainSettings
from publisher.learning.training.train import TrainingResult, settings_of, train
from publisher.learning.training.warm_start import WarmStart
from publisher.learning.variants.duration import Costs, Duration
from publisher.learning.variants.rung import ImpossibleRung, Rung
from publisher.learning.variants.schedule import EarlierVersion, Schedule
from publisher.learning.variants.variant_spec import (
    DISTILLED,
    PARENT,
    RUNGS,
    STUDENT,
    NetworkSpec,
    VariantSpec,
    variant_specs,
)


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
    record: Record | None = None,
    on_rung: OnRung = ignore_rung,
) -> Ladder:
    """Train the recipe, from `start` if given, and build the rungs of these names.

    `seed`, `epochs` and `scramble_labels` override its settings; `kept` is an earlier
    calibration set. Adds its number of steps to `steps`; `record` and `on_rung` as in
    `build_ladder`. Raises BadRecipe, BadInput.
    """
    fresh = recipe.settings.having(epochs=epochs, seed=seed, scramble_labels=scramble_labels)
    settings = settings_of(recipe, start, epochs=epochs, seed=seed, scramble_labels=scramble_labels)
    variant_specs(names)  # a wrong name fails before the training
    steps = steps or Steps(0, ignore_progress)
    steps.expect(settings.epochs)
    began_s, began_cpu_s = time.monotonic(), _cpu_s()
    if start is not None:
        check_students(recipe, start, names)
    record = {} if record is None else record
    trained = train(
        dataclasses.replace(recipe, settings=settings),
        start=start, kept=kept, record=record, on_progress=steps.within(),
    )  # fmt: skip
    steps.end("trained", settings.epochs)
    if epochs is None:
        fresh = affordable(trained.model, len(recipe.data.y_train), fresh)
    steps.expect(count_steps(names, _schedule(fresh, settings, start), distill_seeds))
    ladder = build_ladder(
        trained, names, settings=fresh, distill_seeds=distill_seeds, steps=steps, record=record, on_rung=on_rung
    )
    return dataclasses.replace(ladder, took_s=time.monotonic() - began_s, cpu_s=_cpu_s() - began_cpu_s)


def build_trained_ladder(
    trained: TrainingResult,
    names: Sequence[str] = RUNGS,
    *,
    seed: int | None = None,
    epochs: int | None = None,
    steps: Steps,
    record: Record | None = None,
    on_rung: OnRung = ignore_rung,
) -> Ladder:
    """Build the rungs of a network that was trained elsewhere. Raises as above."""
    settings = trained.settings.having(epochs=epochs, seed=seed)
    trained = dataclasses.replace(trained, settings=settings)
    steps.expect(count_steps(names, _schedule(settings, settings, None)))
    return build_ladder(trained, names, steps=steps, record=record, on_rung=on_rung)


def build_ladder(
    trained: TrainingResult,
    names: Sequence[str] = RUNGS,
    *,
    settings: TrainSettings | None = None,
    distill_seeds: int = 1,
    steps: Steps | None = None,
    record: Record | None = None,
    on_rung: OnRung = ignore_rung,
) -> Ladder:
    """Build the parent and the rungs of these names. Raises BadInput for a bad name.

    `settings` are for further training, by default those of `trained`; with more than
    one `distill_seeds` the student is compared with and without its teacher on each.
    What `record` has is not made again, and what is made is added to it. `on_rung` gets
    the ladder so far after the parent and each rung that is made now.
    """
    schedule = _schedule(settings or trained.settings, trained.settings, trained.start)
    steps = steps or Steps(count_steps(names, schedule, distill_seeds), ignore_progress)
    record = {} if record is None else record
    work = _LadderWork(trained, schedule, variant_specs(names), record, steps)
    while work.left:
        made, fresh = work.build_next()
        if fresh or made.name == PARENT:
            on_rung(work.ladder(timed=on_rung is not ignore_rung), made)
    return work.ladder(work.cache.study(distill_seeds) if _has_study(names, schedule, distill_seeds) else None)


class _LadderWork:
    """Builds the rungs in order. `left` are those to be made."""

    def __init__(
        self,
        trained: TrainingResult,
        schedule: Schedule,
        specs: tuple[VariantSpec, ...],
        record: Record,
        steps: Steps,
    ) -> None:
        self.left = list(specs)
        self.cache = NetworkCache(trained, schedule, steps, record)
        self._trained, self._schedule, self._record, self._steps = trained, schedule, record, steps
        self._builder = RungBuilder(trained, self.cache, steps, record)
        self._restored = {spec.name: rung for spec in specs if (rung := self._builder.restored(spec))}
        self._built: list[Rung | ImpossibleRung] = []
        self._duration: Duration | None = None
        self._began_s, self._began_cpu_s = time.monotonic(), _cpu_s()

    def build_next(self) -> tuple[Rung | ImpossibleRung, bool]:
        """The next rung, and whether it was built now; drops what no other needs."""
        spec = self.left.pop(0)
        began_s = time.monotonic()
        if restored := self._restored.get(spec.name):
            self._steps.end(f"{spec.name} is made", STEPS_A_RUNG)
        self._built.append(made := restored or self._builder.build(spec))
        self.cache.keep_only(network for each in self.left for network in self._schedule.chain(each.network))
        if self._duration is not None and isinstance(made, ImpossibleRung):
            self._duration.leave_out()
        elif self._duration is not None and not restored:
            self._duration.finish(time.monotonic() - began_s)
        return made, restored is None

    def ladder(self, study: Study | None = None, *, timed: bool = False) -> Ladder:
        """The ladder so far, with all that is restored."""
        restored = [self._restored[spec.name] for spec in self.left if spec.name in self._restored]
        unfinished = tuple(spec.name for spec in self.left if spec.name not in self._restored)
        return Ladder(
            trained=self._trained,
            schedule=self._schedule,
            rungs=(*(rung for rung in self._built if isinstance(rung, Rung)), *restored),
            impossible=tuple(rung for rung in self._built if isinstance(rung, ImpossibleRung)),
            record=self._record,
            study=study,
            took_s=time.monotonic() - self._began_s,
            cpu_s=_cpu_s() - self._began_cpu_s,
            unfinished=unfinished,
            left_s=self._left_s() if timed and unfinished else None,
        )

    def _left_s(self) -> float | None:
        """The seconds that are left; the first time, a few batches are timed."""
        if self._duration is None:
            specs = [spec for spec in self.left if spec.name not in self._restored]
            trains = any(spec.network != NetworkSpec() for spec in specs)
            parent = self._built[0]
            assert isinstance(parent, Rung)  # else its error was raised
            try:
                costs = Costs(self.cache.epoch_s() if trains else 0.0, parent.took_s)
            except FerryError:  # training it further diverges: its rungs will tell
                return None
            made = frozenset(name for name in _networks(specs) if weights_file(name) in self._record)
            self._duration = Duration(self._schedule, costs, specs, made)
        return self._duration.left_s()


def _networks(specs: Sequence[VariantSpec]) -> set[str]:
    return {spec.network.name for spec in specs}


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
