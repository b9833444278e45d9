"""How much work the training of a network is, counted and timed. Needs TensorFlow."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any, Final

import numpy as np

from publisher.learning.recipe.train_settings import TrainSettings
from publisher.learning.training.fine_tune import TrainingJob, copy_network, fine_tune
from publisher.learning.variants.schedule import Schedule
from publisher.learning.variants.variant_spec import RUNGS, TRAINED, variant_specs

WORK_MAX: Final = 2.5e12  # multiplications of a whole ladder: about eight minutes on two cores
BACK_AND_FORTH: Final = 3  # a training step, in inferences
EPOCHS_MIN: Final = 2
TIMED_BATCHES: Final = 3


def affordable(network: Any, samples: int, settings: TrainSettings) -> TrainSettings:
    """Settings of fewer epochs where the whole ladder of `network` would take too long.

    It is decided by counting, not by a clock: the same on every machine, for any rungs.
    """
    schedule = Schedule(settings)
    networks = {each for spec in variant_specs(RUNGS) for each in schedule.chain(spec.network)}
    epochs = sum(schedule.epochs(each) for each in networks if each.origin == TRAINED)
    work = epochs * samples * multiplications(network) * BACK_AND_FORTH
    if work <= WORK_MAX:
        return settings
    fewer = max(EPOCHS_MIN, int(settings.epochs * WORK_MAX / work))
    return replace(settings, epochs=min(fewer, settings.epochs))


def multiplications(network: Any) -> int:
    """Of one inference, about: a kernel counts at each place of its layer's output."""
    return sum(
        math.prod(weight.shape) * _places(layer)
        for layer in network._flatten_layers(include_self=False)
        if not getattr(layer, "layers", None)
        for weight in layer.weights
        if len(weight.shape) > 1
    )


def _places(layer: Any) -> int:
    try:
        shape = layer.output_shape
    except AttributeError:  # used in several places, or in none
        return 1
    return math.prod(size or 1 for size in shape[1:-1]) if isinstance(shape, tuple) else 1


def epoch_s(network: Any, job: TrainingJob) -> float:
    """How long an epoch of the job takes here, by a few batches on a copy."""
    job.reset_keras()
    count = job.batch_size * TIMED_BATCHES
    ends_s: list[float] = []
    few = replace(
        job,
        x=[values[:count] for values in job.x],
        y=job.y[:count],
        epochs=2,
        on_epoch=lambda: ends_s.append(time.monotonic()),
    )
    fine_tune(copy_network(network), few)  # its first epoch traces the network
    batches = math.ceil(len(few.y) / job.batch_size)
    return float(np.diff(ends_s)[-1]) / batches * math.ceil(len(job.y) / job.batch_size)
