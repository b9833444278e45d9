"""Questions with yes or no: one, or several at once. Sigmoid outputs."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from protocol.errors import BadRecipe
from protocol.messages.contract import TaskDeclaration
from publisher.learning.data.dataset import Array, Data, Floats
from publisher.learning.objectives.objective import REASON, Loss, Objective
from publisher.learning.tensorflow_import import load_tensorflow

THRESHOLD: Final = 0.5
LEAST: Final = 1e-7  # of a probability, before its logarithm is taken


class YesOrNo(Objective):
    """Distilled with cross entropies of each question, softened by a temperature."""

    loss = "binary_crossentropy"
    metric = "binary_accuracy"

    def output_shape(self, data: Data) -> tuple[int, ...]:
        return data.y_train.shape[1:]

    def last_layer(self, data: Data) -> str:
        return f'Dense({data.y_train.shape[1]}, activation="sigmoid")'

    def check_output(self, output: Floats, data: Data, what: str, where: str) -> None:
        if not (np.isfinite(output).all() and (output >= 0).all() and (output <= 1).all()):
            raise BadRecipe(
                f"{what} in {where}: what the network gives is not between 0 and 1 (but {float(output.min()):.3g} to"
                f" {float(output.max()):.3g})",
                hint=f"end it with {self.last_layer(data)}",
            )

    def distillation_loss(self, temperature: float, weight: float) -> Loss:
        """As for classes (Hinton et al. 2015), with a sigmoid for the softmax."""
        tf = load_tensorflow()

        def logits(output: Any) -> Any:
            share = tf.clip_by_value(output, LEAST, 1 - LEAST)
            return tf.math.log(share) - tf.math.log(1 - share)

        def loss(target: Any, output: Any) -> Any:
            true, taught = tf.split(target, 2, axis=-1)
            answered = logits(output)
            hard = tf.nn.sigmoid_cross_entropy_with_logits(true, answered)
            softened = tf.sigmoid(logits(taught) / temperature)
            soft = tf.nn.sigmoid_cross_entropy_with_logits(softened, answered / temperature)
            return tf.reduce_mean((1 - weight) * hard + weight * temperature**2 * soft, axis=-1)

        return loss


class BinaryObjective(YesOrNo):
    """One question: truths are 0 or 1."""

    name = "binary"

    def declaration(self) -> TaskDeclaration:
        return TaskDeclaration(name="classification", form="sigmoid", threshold=THRESHOLD, reason=REASON)

    def truths(self, y: Array, name: str, count: int, where: str) -> Floats:
        flat = y.reshape(-1, 1) if y.ndim == 1 or y.shape[1:] == (1,) else y
        return _zeros_and_ones(flat, name, count, where, f"one number a sample, 0 or 1: {name}.ravel()", 1)

    def check(self, data: Data, labels: tuple[str, ...], where: str) -> None:
        if len(labels) > 2:
            raise BadRecipe(f"{where}: `labels` names {len(labels)}", hint='a question has two answers: ["no", "yes"]')
        _check_both_answers(data, labels[-1:], where)

    def wants(self, data: Data) -> str:
        return "there is one question, with yes or no"

    def order_by(self, y: Array) -> Array | None:
        return y[:, 0].astype(np.int64)

    def replayed(self, y: Array) -> Array | None:
        return y[:, 0].astype(np.int64)

    def truth(self, y: Any) -> int:
        return int(y[0])


class MultiLabelObjective(YesOrNo):
    """Any number of labels for a sample: truths are (samples, labels) of 0 or 1."""

    name = "multi-label"

    def declaration(self) -> TaskDeclaration:
        return TaskDeclaration(name="classification", form="multi_label", threshold=THRESHOLD, reason=REASON)

    def truths(self, y: Array, name: str, count: int, where: str) -> Floats:
        return _zeros_and_ones(y, name, count, where, "(samples, labels) of 0 or 1: whether a label holds", 2)

    def check(self, data: Data, labels: tuple[str, ...], where: str) -> None:
        count = data.y_train.shape[1]
        if data.y_test.shape[1] != count:
            raise BadRecipe(
                f"{where}: y_test has {data.y_test.shape[1]} labels a sample, y_train {count}",
                hint="prepare both halves in the same way",
            )
        if labels and len(labels) != count:
            raise BadRecipe(
                f"{where}: y_train has {count} labels a sample, but `labels` names {len(labels)}",
                hint="name each column of y",
            )
        _check_both_answers(data, labels, where)

    def labels(self, data: Data) -> tuple[str, ...]:
        return tuple(map(str, range(data.y_train.shape[1])))

    def wants(self, data: Data) -> str:
        return f"there are {data.y_train.shape[1]} labels"

    def replayed(self, y: Array) -> Array | None:
        return None  # lists of indexes, of any length

    def truth(self, y: Any) -> list[int]:
        """The indexes of the labels that hold."""
        present: list[int] = np.flatnonzero(y).tolist()
        return present


def _zeros_and_ones(y: Array, name: str, count: int, where: str, hint: str, least: int) -> Floats:
    if y.ndim != 2 or y.shape[1] < least or y.dtype.kind not in "fiub" or not np.isin(y, (0, 1)).all():
        raise BadRecipe(f"{where}: {name} has shape {list(y.shape)} of {y.dtype}, or other values", hint=hint)
    if len(y) != count:
        raise BadRecipe(f"{where}: {name} has {len(y)} truths for {count} samples", hint="give each sample its own")
    return y.astype(np.float32)


def _check_both_answers(data: Data, labels: tuple[str, ...], where: str) -> None:
    """A column that is always the same teaches nothing."""
    for index, share in enumerate(data.y_train.mean(axis=0)):
        if share in (0.0, 1.0):
            name = f" ({labels[index]})" if index < len(labels) else ""
            raise BadRecipe(
                f"{where}: label {index}{name} is {share:.0f} in every sample of y_train",
                hint="each label needs samples with it and without it",
            )
