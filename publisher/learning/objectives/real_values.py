"""Real numbers: values that are measured elsewhere, or the input itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from protocol.errors import BadRecipe
from protocol.messages.contract import TaskDeclaration
from publisher.learning.data.dataset import NAMES, SPREAD_MAX, VALUE_MAX, Array, Data, Floats
from publisher.learning.objectives.objective import REASON, Loss, Objective
from publisher.learning.tensorflow_import import load_tensorflow


class RealValues(Objective):
    """Distilled by squared differences from the truth and from the teacher."""

    loss = "mse"

    def distillation_loss(self, temperature: float, weight: float) -> Loss:
        tf = load_tensorflow()

        def loss(target: Any, output: Any) -> Any:
            true, taught = tf.split(target, 2, axis=-1)
            squares = (1 - weight) * tf.square(output - true) + weight * tf.square(output - taught)
            return tf.reduce_mean(squares, axis=-1)

        return loss


class RegressionObjective(RealValues):
    """Truths are (samples, values), or (samples,) for one value."""

    name = "regression"

    def declaration(self) -> TaskDeclaration:
        return TaskDeclaration(name="regression", reason=REASON)

    def truths(self, y: Array, name: str, count: int, where: str) -> Floats:
        values = y.reshape(-1, 1) if y.ndim == 1 else y
        if values.ndim != 2 or values.size == 0 or values.dtype.kind not in "fiu":
            raise BadRecipe(
                f"{where}: {name} has shape {list(y.shape)} of {y.dtype}",
                hint="give real numbers: (samples,) for one value, (samples, values) for several",
            )
        if len(values) != count:
            raise BadRecipe(
                f"{where}: {name} has {len(values)} values for {count} samples", hint="give each sample its own"
            )
        with np.errstate(over="ignore"):
            floats = values.astype(np.float32)
        if not np.isfinite(floats).all():
            raise BadRecipe(f"{where}: {name} has NaN or infinite values", hint="drop these samples, or fill them")
        return floats

    def check(self, data: Data, labels: tuple[str, ...], where: str) -> None:
        count = data.y_train.shape[1]
        if data.y_test.shape[1] != count:
            raise BadRecipe(
                f"{where}: y_test has {data.y_test.shape[1]} values a sample, y_train {count}",
                hint="prepare both halves in the same way",
            )
        if labels and len(labels) != count:
            raise BadRecipe(
                f"{where}: y_train has {count} values a sample, but `labels` names {len(labels)}",
                hint="name each value, or leave `labels` out",
            )
        _check_scale(data, where)

    def output_shape(self, data: Data) -> tuple[int, ...]:
        return data.y_train.shape[1:]

    def wants(self, data: Data) -> str:
        return f"there are {data.y_train.shape[1]} values a sample"

    def last_layer(self, data: Data) -> str:
        return f"Dense({data.y_train.shape[1]})"


class AutoencoderObjective(RealValues):
    """The output is the input again; what differs is unusual."""

    name = "autoencoder"
    returned = "(x_train, x_test), two numpy arrays"

    def with_truths(self, returned: object, where: str) -> object:
        if not isinstance(returned, tuple | list):
            return returned
        if len(returned) == len(NAMES):
            raise BadRecipe(f"{where} gave a y, but an autoencoder learns x", hint=f"return {self.returned}")
        if [type(each) for each in returned] != [np.ndarray] * 2:
            return returned
        x_train, x_test = returned
        return x_train, x_train, x_test, x_test

    def declaration(self) -> TaskDeclaration:
        return TaskDeclaration(name="scores", reason=REASON)

    def truths(self, y: Array, name: str, count: int, where: str) -> Floats:
        return y.astype(np.float32, copy=False)  # checked as input

    def check(self, data: Data, labels: tuple[str, ...], where: str) -> None:
        if labels:
            raise BadRecipe(f"{where}: an autoencoder has no labels", hint="leave `labels` out")

    def output_shape(self, data: Data) -> tuple[int, ...]:
        return data.features

    def wants(self, data: Data) -> str:
        return f"samples are {list(data.features)}, and an autoencoder gives them again"

    def last_layer(self, data: Data) -> str:
        return f"a layer of the shape {list(data.features)}"


def _check_scale(data: Data, where: str) -> None:
    low, high = data.y_train.min(axis=0), data.y_train.max(axis=0)
    if (low == high).any():
        index = int(np.flatnonzero(low == high)[0])
        raise BadRecipe(
            f"{where}: value {index} of y_train is always {float(low[index]):g}", hint="look at how it is loaded"
        )
    if max(float(np.abs(low).max()), float(np.abs(high).max())) > VALUE_MAX:
        raise BadRecipe(
            f"{where}: y_train has values over {VALUE_MAX:g}, too large to train on", hint="give y in larger units"
        )
    reach = SPREAD_MAX * (high - low)
    if ((data.y_test < low - reach) | (data.y_test > high + reach)).any():
        raise BadRecipe(
            f"{where}: y_test is far outside of y_train ({float(low.min()):.3g} to {float(high.max()):.3g})",
            hint="scale both halves in the same way",
        )
