"""Knowledge distillation: a small network learns from a large one's doubts too (Hinton et al. 2015). Needs TensorFlow.

The large network's answers are softened by a temperature T: softmax(logits / T). The student learns from those, times
T squared as the paper has it, and from the true labels; a weight says how much from which.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from publisher.learning.data.dataset import Floats
from publisher.learning.quiet_tensorflow import quiet
from publisher.learning.tensorflow_import import load_tensorflow
from publisher.learning.training.fine_tune import Lesson, fit

LEAST: Final = 1e-30  # a logarithm of zero is no number; what is cut off teaches nothing, so it is far under a doubt
BATCH: Final = 256


@dataclass(frozen=True, slots=True)
class Study:
    """Held-back accuracies (0-1) of the student alone and taught, one of each for a seed."""

    seeds: tuple[int, ...]
    alone: tuple[float, ...]
    taught: tuple[float, ...]

    @property
    def alone_mean(self) -> float:
        """Without the teacher."""
        return sum(self.alone) / len(self.alone)

    @property
    def taught_mean(self) -> float:
        """With the teacher."""
        return sum(self.taught) / len(self.taught)

    def facts(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "seeds": list(self.seeds),
            "alone": list(self.alone),
            "taught": list(self.taught),
            "alone_mean": self.alone_mean,
            "taught_mean": self.taught_mean,
        }


def teach(student: Any, teacher: Any, lesson: Lesson, *, temperature: float, weight: float) -> None:
    """Train `student` in place; `weight` (0-1) is the teacher's share, the true labels have the rest."""
    classes = int(student.output_shape[-1])
    true = np.eye(classes, dtype=np.float32)[lesson.y]
    fit(
        student,
        lesson,
        np.hstack([true, probabilities(teacher, lesson.x)]),
        loss=_loss(classes, temperature, weight),
    )


def probabilities(network: Any, x: Floats) -> Floats:
    """What a network gives for `x` (samples, features …): (samples, classes)."""
    with quiet():
        given: Floats = network.predict(x, batch_size=BATCH, verbose=0)
    return given


def _loss(classes: int, temperature: float, weight: float) -> Callable[[Any, Any], Any]:
    """Of what a sample has: its true class in one place, then the teacher's probabilities."""
    tf = load_tensorflow()

    def logits(given: Any) -> Any:
        return tf.math.log(tf.clip_by_value(given, LEAST, 1.0))  # up to a constant, which softmax does not see

    def loss(wanted: Any, given: Any) -> Any:
        true, doubts = wanted[:, :classes], wanted[:, classes:]
        hard = -tf.reduce_sum(true * logits(given), axis=-1)
        softened = tf.nn.softmax(logits(doubts) / temperature)
        soft = -tf.reduce_sum(softened * tf.nn.log_softmax(logits(given) / temperature), axis=-1)
        return (1 - weight) * hard + weight * temperature**2 * soft

    return loss
