"""Makes the networks that rungs are converted from, each once: several rungs share the one that was pruned.

Knows which technique follows on which, for how many epochs, and at which learning rate. Needs TensorFlow. Converts and
measures nothing.
"""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from publisher.learning.cluster import clustered
from publisher.learning.data import Labels
from publisher.learning.distill import Study, probabilities, teach
from publisher.learning.network import build_student_network
from publisher.learning.progress import Steps
from publisher.learning.prune import pruned
from publisher.learning.qat import made_aware
from publisher.learning.settings import TrainSettings
from publisher.learning.train import Trained
from publisher.learning.tune import Lesson, OnEpoch, tune
from publisher.learning.way import CLUSTERS, DISTILLED, STUDENT, Stage


@dataclass(frozen=True, slots=True)
class Pace:
    """How long and how fast, as parts of the recipe's own epochs and learning rate."""

    epochs: float
    learning_rate: float


# A student learns from scratch. On five folds of the digits' training data, over 8 to 12 seeds, the taught one did best
# at this pace and a temperature of 2 to 4; at the recipe's own pace it had no time to follow its teacher.
STUDY: Final = Pace(2.0, 2.0)
PRUNE: Final = Pace(0.5, 1.0)
CLUSTER: Final = Pace(0.2, 0.1)
AWARE: Final = Pace(0.25, 0.3)


@dataclass(frozen=True, slots=True)
class Failed:
    """A network that could not be made; whoever needs it hears the same reason."""

    why: Exception


def pace(stage: Stage) -> Pace:
    """Of the last thing that is done to a network."""
    if stage.aware:
        return AWARE
    if stage.clustered:
        return CLUSTER
    return PRUNE if stage.sparsity_percent else STUDY


def epochs_of(stage: Stage, settings: TrainSettings) -> int:
    """How long a stage is trained; not at all where it is the recipe's own network, which is trained already."""
    return 0 if stage == Stage() else math.ceil(pace(stage).epochs * settings.epochs)


class Workshop:
    """Networks by stage. `steps` hears of each epoch; `settings` are the recipe's."""

    def __init__(self, trained: Trained, settings: TrainSettings, steps: Steps) -> None:
        self._trained = trained
        self._settings = settings
        self._steps = steps
        self._made: dict[Stage, Any] = {Stage(): trained.model}
        self._took_s: dict[Stage, float] = {}

    def network(self, stage: Stage, name: str) -> Any:
        """The network, made now if need be; messages call it `name`. Raises whatever its technique raises."""
        if stage not in self._made:
            self._made[stage] = self._tried(stage, name)
        made = self._made[stage]
        if isinstance(made, Failed):
            raise made.why
        return made

    def took_s(self, stage: Stage) -> float:
        """How long it took to make, with all that it was made from."""
        return sum(self._took_s.get(each, 0.0) for each in stage.path())

    def study(self, seeds: int) -> Study | None:
        """The student alone and taught, of as many seeds, from the recipe's seed up; None where there is no student."""
        told: dict[str, list[float]] = {STUDENT: [], DISTILLED: []}
        for offset in range(seeds):
            for origin, accuracies in told.items():
                name = f"{origin}, seed {self._seed(offset)}"
                with contextlib.suppress(Exception):  # its rung has told the reason
                    accuracies.append(self._accuracy(self.network(Stage(origin, seed_offset=offset), name)))
        alone, taught = told.values()
        if len(alone) < seeds or len(taught) < seeds:
            return None
        return Study(tuple(map(self._seed, range(seeds))), tuple(alone), tuple(taught))

    def _tried(self, stage: Stage, name: str) -> Any:
        """The network, or Failed; either way as many epochs are counted as were foreseen."""
        epochs = epochs_of(stage, self._settings)
        done = 0

        def on_epoch() -> None:
            nonlocal done
            done += 1
            self._steps.end(f"{name}: epoch {done} of {epochs}")

        try:
            before = None if stage.before is None else self.network(stage.before, name)
            self._steps.begin(f"{name}: epoch 1 of {epochs}")
            began_s = time.monotonic()
            made = self._worked(stage, before, self._lesson(stage, epochs, on_epoch))
            self._took_s[stage] = time.monotonic() - began_s
            return made
        except Exception as why:  # noqa: BLE001 - a technique fails in its own way; the rung that needs it tells why
            self._steps.end(f"{name} is not possible", epochs - done)
            return Failed(why)

    def _worked(self, stage: Stage, before: Any, lesson: Lesson) -> Any:
        keep_zeros = stage.sparsity_percent > 0
        if stage.aware:
            return made_aware(before, lesson, keep_zeros=keep_zeros, keep_clusters=stage.clustered)
        if stage.clustered:
            return clustered(before, CLUSTERS, lesson, keep_zeros=keep_zeros)
        if keep_zeros:
            return pruned(before, stage.sparsity_percent / 100, lesson)
        return self._student(lesson, taught=stage.origin == DISTILLED)

    def _student(self, lesson: Lesson, *, taught: bool) -> Any:
        student = build_student_network(self._trained.recipe, seed=lesson.seed)
        if taught:
            settings = self._settings
            teacher, weight = self._trained.model, settings.distill_weight
            teach(student, teacher, lesson, temperature=settings.temperature, weight=weight)
        else:
            tune(student, lesson)
        return student

    def _lesson(self, stage: Stage, epochs: int, on_epoch: OnEpoch) -> Lesson:
        return Lesson(
            x=self._trained.recipe.data.x_train,
            y=self._labels(),
            epochs=epochs,
            batch_size=self._settings.batch_size,
            learning_rate=self._settings.learning_rate * pace(stage).learning_rate,
            seed=self._seed(stage.seed_offset),
            on_epoch=on_epoch,
        )

    def _labels(self) -> Labels:
        y = self._trained.recipe.data.y_train
        if not self._trained.settings.scramble_labels:
            return y
        return np.random.default_rng(self._trained.settings.seed).permutation(y)  # as the network was trained

    def _seed(self, offset: int) -> int:
        return (self._settings.seed + offset) % 2**32

    def _accuracy(self, network: Any) -> float:
        data = self._trained.recipe.data
        return float((probabilities(network, data.x_test).argmax(axis=1) == data.y_test).mean())
