"""Makes the networks that rungs are converted from, each once: several rungs share the one that was pruned.

Knows which technique follows on which, and how a network of an earlier version is trained on. Needs TensorFlow.
Converts and measures nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from publisher.learning.compression.cluster import clustered
from publisher.learning.compression.distill import Study, probabilities, teach
from publisher.learning.compression.prune import pruned
from publisher.learning.compression.qat import dressed, made_aware
from publisher.learning.compression.weight_constraints import keeping
from publisher.learning.progress import Steps
from publisher.learning.recipe.network import build_student_network
from publisher.learning.recipe.recipe import Recipe
from publisher.learning.training.fine_tune import Lesson, OnEpoch, copied, tune
from publisher.learning.training.train import TrainingResult, labels_to_learn
from publisher.learning.training.warm_start import Start, check_fits, put_weights
from publisher.learning.variants.schedule import Schedule
from publisher.learning.variants.variant_spec import (
    CLUSTERS,
    DISTILLED,
    STUDENT,
    TRAINED,
    Transformation,
    variant_specs,
)


@dataclass(frozen=True, slots=True)
class NetworkFailed:
    """A network that could not be made; whoever needs it hears the same reason."""

    why: Exception


class NetworkCache:
    """Networks by stage. `steps` hears of each epoch."""

    def __init__(self, trained: TrainingResult, timetable: Schedule, steps: Steps) -> None:
        self._trained = trained
        self._timetable = timetable
        self._settings = timetable.settings
        self._steps = steps
        self._made: dict[Transformation, Any] = {Transformation(): trained.model}
        self._took_s: dict[Transformation, float] = {}

    def network(self, stage: Transformation, name: str) -> Any:
        """The network, made now if need be; messages call it `name`. Raises whatever its technique raises."""
        if stage not in self._made:
            self._made[stage] = self._tried(stage, name)
        made = self._made[stage]
        if isinstance(made, NetworkFailed):
            raise made.why
        return made

    def took_s(self, stage: Transformation) -> float:
        """How long it took to make, with all that it was made from."""
        return sum(self._took_s.get(each, 0.0) for each in self._timetable.path(stage))

    def networks(self) -> dict[str, Any]:
        """What was made, by the name of its stage; without those of other draws, which are there to compare."""
        return {
            stage.name: made
            for stage, made in self._made.items()
            if stage.seed_offset == 0 and not isinstance(made, NetworkFailed)
        }

    def study(self, seeds: int) -> Study | None:
        """The student alone and taught, of as many seeds, from the recipe's seed up; None where there is no student."""
        told: dict[str, list[float]] = {STUDENT: [], DISTILLED: []}
        for offset in range(seeds):
            for origin, accuracies in told.items():
                name = f"{origin}, seed {self._seed(offset)}"
                with contextlib.suppress(Exception):  # its rung has told the reason
                    accuracies.append(self._accuracy(self.network(Transformation(origin, seed_offset=offset), name)))
        alone, taught = told.values()
        if len(alone) < seeds or len(taught) < seeds:
            return None
        return Study(tuple(map(self._seed, range(seeds))), tuple(alone), tuple(taught))

    def _tried(self, stage: Transformation, name: str) -> Any:
        """The network, or Failed; either way as many epochs are counted as were foreseen."""
        epochs = self._timetable.epochs(stage)
        done = 0

        def on_epoch() -> None:
            nonlocal done
            done += 1
            self._steps.end(f"{name}: epoch {done} of {epochs}")

        try:
            earlier = self._timetable.before(stage)
            before = None if earlier is None else self.network(earlier, name)
            self._steps.begin(f"{name}: epoch 1 of {epochs}")
            began_s = time.monotonic()
            made = self._worked(stage, before, self._lesson(stage, epochs, on_epoch))
            self._took_s[stage] = time.monotonic() - began_s
            return made
        except Exception as why:  # noqa: BLE001 - a technique fails in its own way; the rung that needs it tells why
            self._steps.end(f"{name} is not possible", epochs - done)
            return NetworkFailed(why)

    def _worked(self, stage: Transformation, before: Any, lesson: Lesson) -> Any:
        keep_zeros = stage.sparsity_percent > 0
        if self._timetable.goes_on(stage):
            return self._gone_on(stage, lesson)
        if stage.aware:
            return made_aware(before, lesson, keep_zeros=keep_zeros, keep_clusters=stage.clustered)
        if stage.clustered:
            return clustered(before, CLUSTERS, lesson, keep_zeros=keep_zeros)
        if keep_zeros:
            return pruned(before, stage.sparsity_percent / 100, lesson)
        return self._student(lesson, taught=stage.origin == DISTILLED)

    def _gone_on(self, stage: Transformation, lesson: Lesson) -> Any:
        """The network of the earlier version, trained on, with its zeros, its clusters and its integer ranges."""
        start, recipe = self._trained.start, self._trained.recipe
        assert start is not None  # else nothing goes on
        lesson.begin()
        if stage.origin == TRAINED:
            bare, where = copied(self._trained.model), f"build_model() in {recipe.path.name}"
        else:
            bare, where = build_student_network(recipe, seed=lesson.seed), _student_of(recipe)
        network = dressed(bare) if stage.aware else bare
        put_weights(network, start, where, stage.name)
        if stage == Transformation(DISTILLED):
            self._teach(network, lesson)
            return network
        zeros, ranges = stage.sparsity_percent > 0, stage.clustered or stage.aware
        tune(network, lesson, callbacks=[keeping([network], zeros=zeros, clusters=stage.clustered, ranges=ranges)])
        return network

    def _student(self, lesson: Lesson, *, taught: bool) -> Any:
        student = build_student_network(self._trained.recipe, seed=lesson.seed)
        if taught:
            self._teach(student, lesson)
        else:
            tune(student, lesson)
        return student

    def _teach(self, student: Any, lesson: Lesson) -> None:
        settings = self._settings
        teach(student, self._trained.model, lesson, temperature=settings.temperature, weight=settings.distill_weight)

    def _lesson(self, stage: Transformation, epochs: int, on_epoch: OnEpoch) -> Lesson:
        return Lesson(
            x=self._trained.recipe.data.x_train,
            y=labels_to_learn(self._trained.recipe, self._trained.settings),
            epochs=epochs,
            batch_size=self._settings.batch_size,
            learning_rate=self._timetable.learning_rate(stage),
            seed=self._seed(stage.seed_offset),
            on_epoch=on_epoch,
        )

    def _seed(self, offset: int) -> int:
        return (self._settings.seed + offset) % 2**32

    def _accuracy(self, network: Any) -> float:
        data = self._trained.recipe.data
        return float((probabilities(network, data.x_test).argmax(axis=1) == data.y_test).mean())


def check_students(recipe: Recipe, start: Start, names: Iterable[str]) -> None:
    """Refuse before anything is trained a student that is not the one that rungs of these names go on from.

    Clears the session. Raises BadRecipe, BadInput.
    """
    stages = {way.stage.name: way.stage for way in variant_specs(names)}
    kept = [name for name, stage in stages.items() if stage.origin != TRAINED and name in start.networks]
    if kept and recipe.build_student is not None:
        check_fits(build_student_network(recipe, seed=recipe.settings.seed), start, _student_of(recipe), kept)


def _student_of(recipe: Recipe) -> str:
    return f"build_student() in {recipe.path.name}"
