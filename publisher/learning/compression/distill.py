"""Knowledge distillation after Hinton et al. 2015. Needs TensorFlow.

The loss is the cross entropy with the teacher's output, softened by a temperature T as
softmax(logits / T), times T squared, and that with the true labels, weighted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from publisher.learning.data.dataset import Floats
from publisher.learning.quiet_tensorflow import silence_tensorflow
from publisher.learning.tensorflow_import import load_tensorflow
from publisher.learning.training.fine_tune import TrainingJob, fit

LEAST: Final = 1e-30  # avoids log(0); far under any probability that matters
BATCH: Final = 256


@dataclass(frozen=True, slots=True)
class Study:
    """Held-back accuracies (0-1) of the student alone and distilled, for each seed."""

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


def distill(student: Any, teacher: Any, job: TrainingJob, *, temperature: float, weight: float) -> None:
    """Train `student` in place; `weight` (0-1) is the teacher's share of the loss."""
    classes = int(student.output_shape[-1])
    true = np.eye(classes, dtype=np.float32)[job.y]
    fit(
        student, job, np.hstack([true, predict_probabilities(teacher, job.x)]), loss=_loss(classes, temperature, weight)
    )


def predict_probabilities(network: Any, x: Floats) -> Floats:
    """The output for `x` (samples, features …): (samples, classes)."""
    with silence_tensorflow():
        output: Floats = network.predict(x, batch_size=BATCH, verbose=0)
    return output


def _loss(classes: int, temperature: float, weight: float) -> Callable[[Any, Any], Any]:
    """The loss for targets of one-hot classes followed by the teacher's output."""
    tf = load_tensorflow()

    def logits(output: Any) -> Any:
        return tf.math.log(tf.clip_by_value(output, LEAST, 1.0))  # up to a constant, which softmax ignores

    def loss(target: Any, output: Any) -> Any:
        true, taught = target[:, :classes], target[:, classes:]
        hard = -tf.reduce_sum(true * logits(output), axis=-1)
        softened = tf.nn.softmax(logits(taught) / temperature)
        soft = -tf.reduce_sum(softened * tf.nn.log_softmax(logits(output) / temperature), axis=-1)
        return (1 - weight) * hard + weight * temperature**2 * soft

    return loss
