"""From what an application gives to what a model takes.

preprocessor = Preprocessor(manifest.preprocessing, manifest.contract)
raw, batched = preprocessor.arrange(picture)
inputs = preprocessor.apply(raw)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.errors import BadInput, BadModel
from protocol.messages.contract import Contract, Tensor
from protocol.messages.preprocessing import (
    AudioInput,
    InputPreprocessing,
    NewerPreprocessing,
    Preprocessing,
    Raw,
    unknown_part,
)
from protocol.preprocessing import numbers
from protocol.preprocessing.pipeline import UNKNOWN, Operation, compiled, first_form, fitted
from protocol.preprocessing.raw_contract import raw_inputs
from protocol.preprocessing.raw_input import arrange_raw, split

Array = NDArray[Any]


class Preprocessor:
    """The preprocessing of one version. Thread-safe; the same bits everywhere."""

    def __init__(self, preprocessing: Preprocessing, contract: Contract) -> None:
        """Raises BadInput if the steps do not lead to the contract's inputs."""
        tensors = contract.inputs
        if len(preprocessing.inputs) != len(tensors):
            raise BadInput(
                f"the preprocessing is for {len(preprocessing.inputs)} inputs, the model takes {len(tensors)}",
                hint="give one entry for each input of the model, in its order",
            )
        self.declared = preprocessing
        self._names = [tensor.name for tensor in tensors]
        self.raws = raw_inputs(contract, preprocessing)
        self._operations = [
            _operations(each, raw, tensor, contract.row_shape(tensor))
            for each, raw, tensor in zip(preprocessing.inputs, self.raws, tensors, strict=True)
        ]

    def arrange(self, x: Any) -> tuple[list[Array], bool]:
        """Raw inputs as arrays (n, …), and whether `x` is a batch. Raises BadInput."""
        arranged = [arrange_raw(each, raw) for each, raw in zip(split(x, self._names), self.raws, strict=True)]
        if len({(batched, len(array)) for array, batched in arranged}) > 1:
            raise BadInput(f"the inputs are batches of unlike length: {[len(array) for array, _ in arranged]}")
        return [array for array, _ in arranged], arranged[0][1]

    def apply(self, raw: list[Array]) -> list[Array]:
        """Arrays (n, …) as the model takes them, of what `arrange` gave."""
        return [_applied(each, operations) for each, operations in zip(raw, self._operations, strict=True)]


def outcome(preprocessing: Preprocessing) -> tuple[Tensor, ...]:
    """The tensors that the steps lead to, with a batch of 1. Raises BadInput."""
    tensors = []
    for index, declared in enumerate(preprocessing.inputs):
        if declared.raw is None:
            raise BadInput(f"input {index} has no raw", hint="say what an application gives")
        form = first_form(declared.raw)
        for step in declared.steps:
            form = compiled(step, form)[1]
        if UNKNOWN in form.shape:
            raise BadInput(f"the steps of input {index} lead to {form}", hint="resize or crop it to a size")
        tensors.append(Tensor(name=f"input_{index}", shape=(1, *form.shape), dtype=form.dtype))
    return tuple(tensors)


def preprocessor_of(declared: Preprocessing | NewerPreprocessing | None, contract: Contract) -> Preprocessor | None:
    """What a manifest declares; None where inputs go to the model as they are.

    Raises BadModel for steps that are not known here, or do not fit the contract.
    """
    if declared is None:
        return None
    if isinstance(declared, NewerPreprocessing):
        raise BadModel(f"it needs {unknown_part(declared)}, which is not known here", hint="update EdgeFerry")
    try:
        return Preprocessor(declared, contract)
    except BadInput as misfit:
        raise BadModel(f"its preprocessing does not fit: {misfit.message}", hint=misfit.hint) from None


def _operations(declared: InputPreprocessing, raw: Raw, tensor: Tensor, row_shape: tuple[int, ...]) -> list[Operation]:
    form, operations = first_form(raw), list[Operation]()
    if isinstance(raw, AudioInput):
        operations.append(numbers.as_samples)
    elif form.dtype == "float32" and declared.steps:
        operations.append(numbers.flushed)
    for step in declared.steps:
        operation, form = compiled(step, form)
        operations.append(operation)
    if form.dtype != tensor.dtype:
        raise BadInput(
            f"the preprocessing of {tensor.name} ends with {form.dtype}, the model takes {tensor.dtype}",
            hint=f'end it with a step cast to "{tensor.dtype}"',
        )
    return [*operations, fitted(form, row_shape)]


def _applied(batch: Array, operations: list[Operation]) -> Array:
    made = [_through(each, operations) for each in batch]
    return made[0][np.newaxis] if len(made) == 1 else np.stack(made)


def _through(value: Array, operations: list[Operation]) -> Array:
    for operation in operations:
        value = operation(value)
    return value
