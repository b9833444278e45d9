"""Builds a recipe's network and checks it against the data. Needs TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from protocol.errors import BadRecipe
from publisher.learning.data.network_inputs import as_keras_takes, in_network_order
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
    _check_output(network, recipe, what)
    return network


def _kind(returned: object) -> str:
    return "Keras 3 model" if type(returned).__module__.split(".")[0] == "keras" else type(returned).__name__


def _model_hint(returned: object) -> str:
    if returned is None:
        return "end it with: return model"
    return "import tf_keras, not keras: compression needs Keras 2" if _kind(returned) == "Keras 3 model" else ""


def _check_shapes(network: Any, recipe: Recipe, where: str) -> None:
    data, objective = recipe.data, recipe.objective
    for tensor, name, features in _inputs(network, recipe, where):
        shape, wanted = tuple(tensor.shape), (None, *features)
        if shape[0] is not None:
            raise BadRecipe(
                f"{where}: the network takes {shape[0]} samples at a time, no more and no fewer",
                hint=f"leave the batch out: begin it with tf_keras.Input(shape={wanted[1:]})",
            )
        if not _fits(shape, wanted):
            raise BadRecipe(
                f"{where}: the network takes {_text(shape)}{name}, but load_data() gives samples of {list(wanted[1:])}",
                hint=f"begin it with tf_keras.Input(shape={wanted[1:]})",
            )
    wanted = (None, *objective.output_shape(data))
    if not isinstance(network.output_shape, tuple) or not _fits(network.output_shape, wanted):
        raise BadRecipe(
            f"{where}: the network gives {_text(network.output_shape)}, but {objective.wants(data)}",
            hint=f"end it with {objective.last_layer(data)}",
        )
    if not network.trainable_weights:
        raise BadRecipe(f"{where}: the network has no weights to train", hint="add a layer, or set trainable = True")


def _inputs(network: Any, recipe: Recipe, where: str) -> list[tuple[Any, str, tuple[int, ...]]]:
    """The network's inputs, what to call them, and the shapes of their samples."""
    data = recipe.data
    names = list(network.input_names)
    if len(names) != len(data.train) or (data.names and set(names) != set(data.names)):
        given = ", ".join(data.names) or f"{len(data.train)}"
        raise BadRecipe(
            f"{where}: the network takes the inputs {', '.join(names)}, but load_data() gives {given}",
            hint="give x as a dict of arrays by the names of the input layers: tf_keras.Input(…, name=…)",
        )
    features = dict(zip(data.names or names, (x.shape[1:] for x in data.train), strict=True))
    return [
        (tensor, f" as {name}" if len(names) > 1 else "", features[name])
        for tensor, name in zip(network.inputs, names, strict=True)
    ]


def _fits(shape: tuple[int | None, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(has in (None, want) for has, want in zip(shape, wanted, strict=True))


def _text(shape: object) -> str:
    one_tensor = isinstance(shape, tuple) and not any(isinstance(part, tuple) for part in shape)
    return str(list(shape[1:])) if isinstance(shape, tuple) and one_tensor else f"more than one tensor: {shape}"


def _check_output(network: Any, recipe: Recipe, what: str) -> None:
    few = [x[:2] for x in in_network_order(recipe.data.train, recipe.data.names, network)]
    with run_user_code(recipe.path, f"the network of {what}"):
        output = np.asarray(network(as_keras_takes(few)))
    recipe.objective.check_output(output, recipe.data, what, recipe.path.name)
