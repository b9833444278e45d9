"""Magnitude pruning: the smallest weights become zero. Needs TensorFlow."""

from __future__ import annotations

from typing import Any, Final

from protocol.errors import BadRecipe
from publisher.learning.quiet_tensorflow import silence_tensorflow
from publisher.learning.tensorflow_import import load_tfmot
from publisher.learning.training.fine_tune import TrainingJob, copy_network, fine_tune

RAMP: Final = 0.6  # of all steps; the rest recovers at full sparsity
LEAST_BATCHES: Final = 2  # one to begin at, one to end at
UPDATES: Final = 40  # how often masks are redrawn during the ramp


def prune(network: Any, sparsity: float, job: TrainingJob) -> Any:
    """A copy with the share `sparsity` (0-1) of zeros in kernels. Raises BadRecipe."""
    tfmot = load_tfmot()
    if job.batches < LEAST_BATCHES:
        raise BadRecipe("pruning takes two batches at least", hint="train for more epochs, or in smaller batches")
    end_step, frequency = pruning_schedule(job.batches)
    job.reset_keras()
    with silence_tensorflow():
        ramp = tfmot.sparsity.keras.PolynomialDecay(
            initial_sparsity=0.0, final_sparsity=sparsity, begin_step=0, end_step=end_step, frequency=frequency
        )
        wrapped = tfmot.sparsity.keras.prune_low_magnitude(copy_network(network), pruning_schedule=ramp)
    fine_tune(wrapped, job, callbacks=[tfmot.sparsity.keras.UpdatePruningStep()])
    with silence_tensorflow():
        return tfmot.sparsity.keras.strip_pruning(wrapped)


def pruning_schedule(batches: int) -> tuple[int, int]:
    """The step of full sparsity, and the steps between two updates of the masks."""
    end_step = max(1, int(RAMP * (batches - 1)))
    frequency = max(1, end_step // UPDATES)
    return end_step // frequency * frequency, frequency  # a multiple: the last draw of masks is the one that counts
