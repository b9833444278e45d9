"""Builds a recipe's network and checks it against the data. Needs TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from protocol.errors import BadRecipe
from publisher.learning.recipe.recipe import Recipe
from publisher.learning.recipe.user_code import run_user_code
from publisher.learning.tensorflow_import import load_tf_keras

SUBCLASSED_HINT: Final = (
    "make it a tf_keras.Sequential or a tf_keras.Model(inputs, outputs): only their layers can be pruned and quantized"
)


def build_network(recipe: Recipe, *, seed: int) -> Any:
    """A new uncompiled network; the seed decides its weights. Raises BadRecipe."""
    return _build(recipe, recipe.build_model, "build_model()", seed)


def build_student_network(recipe: Recipe, *, seed: int) -> Any:
    """The same from `build_student`. Clears the session: to do before conversions."""
    if recipe.build_student is None:
        raise BadRecipe(f"{recipe.path.name} has no build_student()", hint=_student_hint(recipe.path))
    return _build(recipe, recipe.build_student, "build_student()", seed)


def _student_hint(path: Path) -> str:
    if path.suffix == ".py":
        return "add: def build_student() -> tf_keras.Model, a smaller one"
    return "a model file is one network: write a recipe whose build_model() loads it, with a build_student() beside"


def _build(recipe: Recipe, build: Callable[[], Any], what: str, seed: int) -> Any:
    tf_keras = load_tf_keras()
    tf_keras.backend.clear_session()  # else tensor names depend on earlier networks
    tf_keras.utils.set_random_seed(seed)
    where = f"{what} in {recipe.path.name}"
    with run_user_code(recipe.path, what):
        network = build()
    if not isinstance(network, tf_keras.Model):
        raise BadRecipe(f"{where} gave a {_kind(network)}, not a tf_keras.Model", hint=_model_hint(network))
    if not isinstance(network, tf_keras.Sequential) and not network.inputs:
        raise BadRecipe(f"{where} gave a {_kind(network)}, which is a subclassed model", hint=SUBCLASSED_HINT)
    with run_user_code(recipe.path, f"the network of {what}"):
        if not network.built:
            network.build((None, *recipe.data.features))
    _check_shapes(network, recipe, where)
    _check_probabilities(network, recipe, what)
    return network


def _kind(returned: object) -> str:
    return "Keras 3 model" if type(returned).__module__.split(".")[0] == "keras" else type(returned).__name__


def _model_hint(returned: object) -> str:
    if returned is None:
        return "end it with: return model"
    return "import tf_keras, not keras: compression needs Keras 2" if _kind(returned) == "Keras 3 model" else ""


def _check_shapes(network: Any, recipe: Recipe, where: str) -> None:
    input_shape, output_shape = network.input_shape, network.output_shape
    wanted = (None, *recipe.data.features)
    if isinstance(input_shape, tuple) and isinstance(input_shape[0], int):
        raise BadRecipe(
            f"{where}: the network takes {input_shape[0]} samples at a time, no more and no fewer",
            hint=f"leave the batch out: begin it with tf_keras.Input(shape={wanted[1:]})",
        )
    if not isinstance(input_shape, tuple) or not _fits(input_shape, wanted):
        raise BadRecipe(
            f"{where}: the network takes {_text(input_shape)}, but load_data() gives samples of {list(wanted[1:])}",
            hint=f"begin it with tf_keras.Input(shape={wanted[1:]})",
        )
    if output_shape != (None, recipe.data.classes):
        raise BadRecipe(
            f"{where}: the network gives {_text(output_shape)}, but there are {recipe.data.classes} classes",
            hint=f'end it with Dense({recipe.data.classes}, activation="softmax")',
        )
    if not network.trainable_weights:
        raise BadRecipe(f"{where}: the network has no weights to train", hint="add a layer, or set trainable = True")


def _fits(shape: tuple[int | None, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(has in (None, want) for has, want in zip(shape, wanted, strict=True))


def _text(shape: object) -> str:
    one_tensor = isinstance(shape, tuple) and not any(isinstance(part, tuple) for part in shape)
    return str(list(shape[1:])) if isinstance(shape, tuple) and one_tensor else f"more than one tensor: {shape}"


def _check_probabilities(network: Any, recipe: Recipe, what: str) -> None:
    """Devices report confidence, so the output must be probabilities."""
    with run_user_code(recipe.path, f"the network of {what}"):
        output = np.asarray(network(recipe.data.x_train[:2]))
    sums = output.sum(axis=1)
    if not (np.isfinite(output).all() and (output >= 0).all() and np.allclose(sums, 1, atol=1e-3)):
        raise BadRecipe(
            f"{what} in {recipe.path.name}: what the network gives are no probabilities"
            f" (a row sums to {float(sums[0]):.3g})",
            hint=f'end it with Dense({recipe.data.classes}, activation="softmax")',
        )
