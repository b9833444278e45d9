"""Magnitude pruning: the smallest weights become zero while the network learns to do without. Needs TensorFlow."""

from __future__ import annotations

from typing import Any, Final

from protocol.errors import BadRecipe
from publisher.learning.quiet_tensorflow import quiet
from publisher.learning.tensorflow_import import load_tfmot
from publisher.learning.training.fine_tune import Lesson, copied, tune

RAMP: Final = 0.6  # of all steps; the rest recovers at full sparsity
LEAST_BATCHES: Final = 2  # one to begin at, one to end at
UPDATES: Final = 40  # how often masks are drawn anew on the way


def pruned(network: Any, sparsity: float, lesson: Lesson) -> Any:
    """A copy of which the share `sparsity` (0-1) of each kernel is zero, on a polynomial schedule from none."""
    tfmot = load_tfmot()
    if lesson.batches < LEAST_BATCHES:
        raise BadRecipe("pruning takes two batches at least", hint="train for more epochs, or in smaller batches")
    end_step, frequency = schedule(lesson.batches)
    lesson.begin()
    with quiet():
        ramp = tfmot.sparsity.keras.PolynomialDecay(
            initial_sparsity=0.0, final_sparsity=sparsity, begin_step=0, end_step=end_step, frequency=frequency
        )
        wrapped = tfmot.sparsity.keras.prune_low_magnitude(copied(network), pruning_schedule=ramp)
    tune(wrapped, lesson, callbacks=[tfmot.sparsity.keras.UpdatePruningStep()])
    with quiet():
        return tfmot.sparsity.keras.strip_pruning(wrapped)


def schedule(batches: int) -> tuple[int, int]:
    """The step at which full sparsity is reached, and the steps from one update of the masks to the next.

    The end is a multiple of the frequency: masks are drawn at no other step, and the last draw is the one that counts.
    """
    end_step = max(1, int(RAMP * (batches - 1)))
    frequency = max(1, end_step // UPDATES)
    return end_step // frequency * frequency, frequency
