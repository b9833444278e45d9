"""One class of several: for each sample, or for each pixel. Softmax outputs."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from protocol.errors import BadRecipe
from protocol.messages.contract import TaskDeclaration
from publisher.learning.data.dataset import Array, Data, Floats, Labels, validate_classes
from publisher.learning.objectives.objective import REASON, Loss, Objective
from publisher.learning.tensorflow_import import load_tensorflow

NUMBERED_MAX: Final = 2_000  # classes that are named by their number
LEAST: Final = 1e-30  # avoids log(0); far under any probability that matters
CLASSES_MAX: Final = 1_000  # of a pixel: an image of one-hot masks must fit into memory


class ClassChoice(Objective):
    """Distilled after Hinton et al. 2015, with softened cross entropies."""

    loss = "sparse_categorical_crossentropy"
    metric = "accuracy"

    def labels(self, data: Data) -> tuple[str, ...]:
        classes = self.classes(data)
        return tuple(map(str, range(classes))) if classes <= NUMBERED_MAX else ()

    def classes(self, data: Data) -> int:
        """The number of classes; each has training samples."""
        return int(data.y_train.max()) + 1

    def wants(self, data: Data) -> str:
        return f"there are {self.classes(data)} classes"

    def check(self, data: Data, labels: tuple[str, ...], where: str) -> None:
        highest = max(int(data.y_train.max()), int(data.y_test.max()))
        if labels and highest >= len(labels):
            raise BadRecipe(
                f"{where}: there is a class {highest}, but `labels` names {len(labels)}, from 0 to {len(labels) - 1}",
                hint="name every class in `labels`, or correct y",
            )
        classes = len(labels) or highest + 1
        trained = np.unique(data.y_train)
        first = next((index for index, label in enumerate(trained) if index != label), len(trained))
        if first < classes:
            name = f" ({labels[first]})" if labels else ""
            raise BadRecipe(
                f"{where}: y_train has no sample of class {first}{name}, of {classes} classes",
                hint="classes are numbered from 0 without gaps, and each needs samples to train on",
            )
        if classes < 2:
            raise BadRecipe(f"{where}: there is one class only", hint="a classifier needs at least two")

    def check_output(self, output: Floats, data: Data, what: str, where: str) -> None:
        """Devices report confidence, so the output must be probabilities."""
        sums = output.sum(axis=-1)
        if not (np.isfinite(output).all() and (output >= 0).all() and np.allclose(sums, 1, atol=1e-3)):
            raise BadRecipe(
                f"{what} in {where}: what the network gives are no probabilities"
                f" (a row sums to {float(sums.flat[0]):.3g})",
                hint=f"end it with {self.last_layer(data)}",
            )

    def targets(self, y: Array, data: Data) -> Floats:
        return np.eye(self.classes(data), dtype=np.float32)[y]

    def distillation_loss(self, temperature: float, weight: float) -> Loss:
        """The teacher's softmax(logits / T), times T squared, and the true classes."""
        tf = load_tensorflow()

        def logits(output: Any) -> Any:
            return tf.math.log(tf.clip_by_value(output, LEAST, 1.0))  # up to a constant, which softmax ignores

        def loss(target: Any, output: Any) -> Any:
            true, taught = tf.split(target, 2, axis=-1)
            hard = -tf.reduce_sum(true * logits(output), axis=-1)
            softened = tf.nn.softmax(logits(taught) / temperature)
            soft = -tf.reduce_sum(softened * tf.nn.log_softmax(logits(output) / temperature), axis=-1)
            return (1 - weight) * hard + weight * temperature**2 * soft

        return loss


class ClassificationObjective(ClassChoice):
    """A class for each sample."""

    name = "classification"

    def declaration(self) -> TaskDeclaration:
        return TaskDeclaration(name="classification", form="softmax", reason=REASON)

    def truths(self, y: Array, name: str, count: int, where: str) -> Labels:
        return validate_classes(y, name, count, where)

    def output_shape(self, data: Data) -> tuple[int, ...]:
        return (self.classes(data),)

    def last_layer(self, data: Data) -> str:
        return f'Dense({self.classes(data)}, activation="softmax")'

    def order_by(self, y: Array) -> Array | None:
        return y

    def truth(self, y: Any) -> int:
        return int(y)


class SegmentationObjective(ClassChoice):
    """A class for each pixel: truths are masks (samples, height, width)."""

    name = "segmentation"

    def declaration(self) -> TaskDeclaration:
        return TaskDeclaration(name="segmentation", form="scores", reason=REASON)

    def truths(self, y: Array, name: str, count: int, where: str) -> Array:
        if y.ndim != 3 or y.dtype.kind not in "iub":
            raise BadRecipe(
                f"{where}: {name} has shape {list(y.shape)} of {y.dtype}",
                hint="masks are (samples, height, width) of class numbers from 0: astype('int64')",
            )
        if len(y) != count:
            raise BadRecipe(f"{where}: {name} has {len(y)} masks for {count} samples", hint="give each sample its mask")
        if y.size == 0 or int(y.min()) < 0 or int(y.max()) >= CLASSES_MAX:
            raise BadRecipe(
                f"{where}: the masks of {name} are empty, or hold classes that are not from 0 to {CLASSES_MAX - 1}",
                hint="number the classes from 0; give what is to be ignored a class of its own",
            )
        return y.astype(np.int64)

    def check(self, data: Data, labels: tuple[str, ...], where: str) -> None:
        if data.y_train.shape[1:] != data.y_test.shape[1:]:
            raise BadRecipe(
                f"{where}: masks of y_test have shape {list(data.y_test.shape[1:])}, of y_train"
                f" {list(data.y_train.shape[1:])}",
                hint="prepare both halves in the same way",
            )
        super().check(data, labels, where)

    def output_shape(self, data: Data) -> tuple[int, ...]:
        return (*data.y_train.shape[1:], self.classes(data))

    def wants(self, data: Data) -> str:
        return f"masks are {list(data.y_train.shape[1:])} of {self.classes(data)} classes"

    def last_layer(self, data: Data) -> str:
        return f'Conv2D({self.classes(data)}, 1, activation="softmax") over {list(data.y_train.shape[1:])} pixels'
