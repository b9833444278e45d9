"""The recipe's network, built and checked against the recipe's data before it is trained. Needs TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from protocol.errors import BadRecipe
from publisher.learning.recipe.recipe import Recipe
from publisher.learning.recipe.user_code import users_code
from publisher.learning.tensorflow_import import load_tf_keras

SUBCLASSED_HINT: Final = (
    "make it a tf_keras.Sequential or a tf_keras.Model(inputs, outputs): only their layers can be pruned and quantized"
)


def build_network(recipe: Recipe, *, seed: int) -> Any:
    """Return a fresh, uncompiled tf_keras.Model. One seed gives the same weights and tensor names. Raises BadRecipe."""
    return _built(recipe, recipe.build_model, "build_model()", seed)


def build_student_network(recipe: Recipe, *, seed: int) -> Any:
    """The same from `build_student`, held to the same data. Clears the session: build it before other networks are
    converted, or convert each in a process of its own. Raises BadRecipe, also when the recipe has none.
    """
    if recipe.build_student is None:
        raise BadRecipe(f"{recipe.path.name} has no build_student()", hint=_student_hint(recipe.path))
    return _built(recipe, recipe.build_student, "build_student()", seed)


def _student_hint(path: Path) -> str:
    if path.suffix == ".py":
        return "add: def build_student() -> tf_keras.Model, a smaller one"
    return "a model file is one network: write a recipe whose build_model() loads it, with a build_student() beside"


def _built(recipe: Recipe, build: Callable[[], Any], what: str, seed: int) -> Any:
    tf_keras = load_tf_keras()
    tf_keras.backend.clear_session()  # else the second network of a process has other tensor names
    tf_keras.utils.set_random_seed(seed)
    where = f"{what} in {recipe.path.name}"
    with users_code(recipe.path, what):
        network = build()
    if not isinstance(network, tf_keras.Model):
        raise BadRecipe(f"{where} gave a {_kind(network)}, not a tf_keras.Model", hint=_model_hint(network))
    if not isinstance(network, tf_keras.Sequential) and not network.inputs:
        raise BadRecipe(f"{where} gave a {_kind(network)}, which is a subclassed model", hint=SUBCLASSED_HINT)
    with users_code(recipe.path, f"the network of {what}"):
        if not network.built:
            network.build((None, *recipe.data.features))
    _check_shapes(network, recipe, where)
    _check_probabilities(network, recipe, what)
    return network


def _kind(given: object) -> str:
    return "Keras 3 model" if type(given).__module__.split(".")[0] == "keras" else type(given).__name__


def _model_hint(given: object) -> str:
    if given is None:
        return "end it with: return model"
    return "import tf_keras, not keras: compression needs Keras 2" if _kind(given) == "Keras 3 model" else ""


def _check_shapes(network: Any, recipe: Recipe, where: str) -> None:
    takes, gives = network.input_shape, network.output_shape
    wanted = (None, *recipe.data.features)
    if _fixed_batch(takes):
        raise BadRecipe(
            f"{where}: the network takes {takes[0]} samples at a time, no more and no fewer",
            hint=f"leave the batch out: begin it with tf_keras.Input(shape={wanted[1:]})",
        )
    if not isinstance(takes, tuple) or not _fits(takes, wanted):
        raise BadRecipe(
            f"{where}: the network takes {_told(takes)}, but load_data() gives samples of {list(wanted[1:])}",
            hint=f"begin it with tf_keras.Input(shape={wanted[1:]})",
        )
    if gives != (None, recipe.data.classes):
        raise BadRecipe(
            f"{where}: the network gives {_told(gives)}, but there are {recipe.data.classes} classes",
            hint=f'end it with Dense({recipe.data.classes}, activation="softmax")',
        )
    if not network.trainable_weights:
        raise BadRecipe(f"{where}: the network has no weights to train", hint="add a layer, or set trainable = True")


def _fixed_batch(takes: object) -> bool:
    return isinstance(takes, tuple) and isinstance(takes[0], int)


def _fits(takes: tuple[int | None, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(takes) == len(wanted) and all(ours in (None, theirs) for ours, theirs in zip(takes, wanted, strict=True))


def _told(shape: object) -> str:
    one_tensor = isinstance(shape, tuple) and not any(isinstance(part, tuple) for part in shape)
    return str(list(shape[1:])) if isinstance(shape, tuple) and one_tensor else f"more than one tensor: {shape}"


def _check_probabilities(network: Any, recipe: Recipe, what: str) -> None:
    """Devices report confidence, so what comes out must be probabilities."""
    with users_code(recipe.path, f"the network of {what}"):
        given = np.asarray(network(recipe.data.x_train[:2]))
    sums = given.sum(axis=1)
    if not (np.isfinite(given).all() and (given >= 0).all() and np.allclose(sums, 1, atol=1e-3)):
        raise BadRecipe(
            f"{what} in {recipe.path.name}: what the network gives are no probabilities"
            f" (a row sums to {float(sums[0]):.3g})",
            hint=f'end it with Dense({recipe.data.classes}, activation="softmax")',
        )
