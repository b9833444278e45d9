"""Checks what a recipe's `load_data()` returned. Raises BadRecipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from protocol.errors import BadRecipe
from publisher.learning.data.dataset import (
    Data,
    Floats,
    check_halves,
    four_arrays,
    split_inputs,
    validate_samples,
)
from publisher.learning.objectives.objective import Objective


def validate_data(
    returned: object,
    objective: Objective,
    labels: tuple[str, ...],
    where: str,
    preprocess: Callable[[Any], Any] | None = None,
) -> Data:
    """The data, if a network can be trained on it for this objective."""
    x_train, y_train, x_test, y_test = four_arrays(
        objective.with_truths(returned, where), where, f"return {objective.returned}"
    )
    if preprocess is not None:
        where = where.replace("load_data()", "load_data() and preprocess()")
        alone = y_train is x_train  # what is learnt is the prepared input
        x_train, x_test = preprocess(x_train), preprocess(x_test)
        y_train, y_test = (x_train, x_test) if alone else (y_train, y_test)
    train, held_back = _inputs(x_train, "x_train", where), _inputs(x_test, "x_test", where)
    _, trained = _count(train)
    _, tested = _count(held_back)
    names = tuple(train) if isinstance(x_train, Mapping) else ()
    (first, *more), (first_test, *more_test) = train.values(), _ordered(held_back, train, names, where)
    data = Data(
        first,
        objective.truths(y_train, "y_train", trained, where),
        first_test,
        objective.truths(y_test, "y_test", tested, where),
        tuple(more),
        tuple(more_test),
        names,
    )
    for key, ours, theirs in zip(train, data.train, data.test, strict=True):
        check_halves(ours, theirs, f"{key} of x" if more else "x", where)
    objective.check(data, labels, where)
    return data


def _inputs(given: Any, name: str, where: str) -> dict[str, Floats]:
    floats = {key: validate_samples(array, key, where) for key, array in split_inputs(given, name, where).items()}
    first, count = _count(floats)
    for key, other in floats.items():
        if len(other) != count:
            raise BadRecipe(
                f"{where}: {key} has {len(other)} samples, {first} has {count}", hint="give all inputs the same number"
            )
    return floats


def _count(inputs: Mapping[str, Floats]) -> tuple[str, int]:
    """The first input's name and number of samples."""
    first, values = next(iter(inputs.items()))
    return first, len(values)


def _ordered(
    held_back: Mapping[str, Floats], train: Mapping[str, Floats], names: tuple[str, ...], where: str
) -> list[Floats]:
    """The held-back inputs in the order of those to train on."""
    if len(train) != len(held_back) or (names and set(train) != set(held_back)):
        raise BadRecipe(
            f"{where}: x_train has the inputs {', '.join(train)}, x_test {', '.join(held_back)}",
            hint="prepare both halves in the same way",
        )
    return [held_back[name] for name in names] if names else list(held_back.values())
