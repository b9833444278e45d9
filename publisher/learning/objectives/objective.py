"""The interface of an objective: what a recipe's network is trained for.

An objective checks truths and output before training, and gives the loss, and the
targets and the loss of a distillation. How good an answer is, the task on the devices
decides (`protocol/tasks`). Importing needs no TensorFlow; losses do.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final

import numpy as np

from protocol.errors import BadRecipe
from protocol.messages.contract import Contract, TaskDeclaration, Tensor
from protocol.tasks.selection import task_of
from publisher.learning.data.dataset import Array, Data, Floats
from publisher.learning.data.output_spread import spread_of_rows

Loss = Callable[[Any, Any], Any]
REASON: Final = "the recipe says so"
SPREAD_SAMPLES: Final = 10_000


class Objective(ABC):
    """`loss` and `metric` are Keras' names; without a metric epochs show the loss."""

    name: ClassVar[str]  # as `task` of a recipe
    loss: ClassVar[str]
    metric: ClassVar[str] = ""
    returned: ClassVar[str] = "(x_train, y_train, x_test, y_test), four numpy arrays"  # by load_data

    def with_truths(self, returned: object, where: str) -> object:
        """What `load_data` returned, with truths where they are the inputs.

        Raises BadRecipe for truths that would not be learnt.
        """
        return returned

    @abstractmethod
    def declaration(self) -> TaskDeclaration:
        """The task of the released model."""

    @abstractmethod
    def truths(self, y: Array, name: str, count: int, where: str) -> Array:
        """`y`, one truth for each of `count` samples, as trained. Raises BadRecipe."""

    @abstractmethod
    def check(self, data: Data, labels: tuple[str, ...], where: str) -> None:
        """Check truths of both halves against `labels`. Raises BadRecipe."""

    def labels(self, data: Data) -> tuple[str, ...]:
        """Names for a recipe that gives none."""
        return ()

    @abstractmethod
    def output_shape(self, data: Data) -> tuple[int, ...]:
        """The shape of the output for one sample."""

    @abstractmethod
    def wants(self, data: Data) -> str:
        """Why it is that shape, such as "there are 10 classes"."""

    @abstractmethod
    def last_layer(self, data: Data) -> str:
        """The layer to end a network with, as Python."""

    def check_output(self, output: Floats, data: Data, what: str, where: str) -> None:
        """Check an untrained network's output for a few samples. Raises BadRecipe."""
        if not np.isfinite(output).all():
            raise BadRecipe(f"{what} in {where}: what the network gives is NaN or infinite", hint="scale its input")

    def targets(self, y: Array, data: Data) -> Floats:
        """Truths with as many values as the output has, for `distillation_loss`."""
        return np.asarray(y, np.float32)

    @abstractmethod
    def distillation_loss(self, temperature: float, weight: float) -> Loss:
        """The loss for targets followed by the teacher's output, in the last dimension.

        `weight` (0-1) is the teacher's share.
        """

    def order_by(self, y: Array) -> Array | None:
        """A class for each sample, of which a golden set holds each; None without."""
        return None

    def truth(self, y: Any) -> Any:
        """One sample's truth in the words of the task on the devices."""
        return y

    def replayed(self, y: Array) -> Array | None:
        """Truths as an application gives them, one a row; None where none can be."""
        return y

    def contract(self, data: Data) -> Contract:
        """What networks for `data` take and give; names are not those of a file."""
        names = data.names or tuple(f"x_{index}" for index in range(len(data.train)))
        inputs = tuple(Tensor(name=name, shape=(1, *x.shape[1:])) for name, x in zip(names, data.train, strict=True))
        spread = spread_of_rows(self.targets(data.y_train[:SPREAD_SAMPLES], data))
        output = Tensor(name="y", shape=(1, *self.output_shape(data)), spread=spread)
        return Contract(inputs=inputs, outputs=(output,), task=self.declaration())

    def scoring(self, data: Data) -> Scoring:
        return Scoring(self.contract(data), self)


class Scoring:
    """Scores outputs (samples, …) of a network, 0 to 1, as devices will."""

    def __init__(self, contract: Contract, objective: Objective) -> None:
        self._task = task_of(contract)
        self._objective = objective
        self.measure = self._task.measure
        self.output_values = max(1, math.prod(contract.outputs[0].shape))

    def figure(self, output: Floats, y: Array) -> float:
        """The task's measure over a test set with truths `y`."""
        truths = [self._task.truth(self._objective.truth(each), ()) for each in y]
        return self._task.figure([[each] for each in output], truths)

    def agreement(self, output: Floats, parents: Floats) -> float:
        """How alike the answers are to those of the parent, on average."""
        return float(
            np.mean([self._task.alike([ours], [theirs]) for ours, theirs in zip(parents, output, strict=True)])
        )
