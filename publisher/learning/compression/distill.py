"""Knowledge distillation: a student learns truths and its teacher's output."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from publisher.learning.data.dataset import Floats
from publisher.learning.objectives.objective import Loss
from publisher.learning.training.fine_tune import TrainingJob, fit, predict


@dataclass(frozen=True, slots=True)
class Study:
    """Held-back figures (0-1) of the student alone and distilled, for each seed."""

    seeds: tuple[int, ...]
    alone: tuple[float, ...]
    taught: tuple[float, ...]

    @property
    def alone_mean(self) -> float:
        return sum(self.alone) / len(self.alone)

    @property
    def taught_mean(self) -> float:
        return sum(self.taught) / len(self.taught)

    def facts(self) -> dict[str, Any]:
        return asdict(self) | {"alone_mean": self.alone_mean, "taught_mean": self.taught_mean}


def distill(student: Any, teacher: Any, job: TrainingJob, loss: Loss, truths: Floats) -> None:
    """Train `student` in place on `truths` and the teacher's output for `job.x`.

    `loss` is an objective's `distillation_loss`, `truths` its `targets`.
    """
    fit(student, job, np.concatenate([truths, predict(teacher, job.x)], axis=-1), loss=loss)
