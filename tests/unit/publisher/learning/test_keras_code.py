"""Foreign code in a network's configuration is found; Keras' own parts pass."""

from __future__ import annotations

from typing import Any

import pytest

from publisher.learning.conversion.keras_model_file import code_in_config


def part(class_name: str, module: str | None = "keras.layers", **config: Any) -> dict[str, Any]:
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


def network(*layers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**part("Sequential", "keras", layers=list(layers)), **more}


FOUND = {
    "a Lambda layer": part("Lambda"),
    "a lambda": part("Dense", activation={"class_name": "__lambda__", "config": {"value": "4wE="}}),
    "Popen of the module subprocess": part("Popen", "subprocess"),
    "system of the module os": part(
        "Dense", activation={"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
    ),
    "Mine of the module __main__": part("Wrapper", layer=part("Mine", "__main__")),
    "get_file of the module keras.utils": part("get_file", "keras.utils"),
    "Dense of the module keras_of_mine.layers": part("Dense", "keras_of_mine.layers"),
    "the operation io.write_file": part("TFOpLambda", function="io.write_file"),
    "the operation py_function": part("TFOpLambda", function="py_function"),
    "the operation raw_ops.ReadFile": part("TFOpLambda", function="raw_ops.ReadFile"),
}


@pytest.mark.parametrize(("said", "layer"), FOUND.items(), ids=FOUND.keys())
def test_code_is_found_and_named(said: str, layer: dict[str, Any]) -> None:
    assert code_in_config(network(part("Dense"), layer)) == said
    assert code_in_config(network(part("TimeDistributed", layer=network(layer)))) == said


@pytest.mark.parametrize(
    "layer",
    [
        part("Dense", kernel_initializer=part("GlorotUniform", "keras.initializers", seed=None)),
        part("Functional", "keras.src.models.functional"),
        part("Functional", "keras.src.engine.functional"),
        part("Dense", dtype=part("DTypePolicy", "keras", name="float32")),
        part("Activation", activation={"module": "builtins", "class_name": "function", "config": "relu"}),
        part("TFOpLambda", function="math.multiply"),
        part("TFOpLambda", function="__operators__.add"),
        part("TFOpLambda", function="concat"),
        {"class_name": "Dense", "config": {"units": 3}},
    ],
)
def test_what_keras_itself_has_is_let_through(layer: dict[str, Any]) -> None:
    assert code_in_config(network(layer)) == ""


def test_how_a_network_was_compiled_does_not_matter() -> None:
    mine = {"loss": {"module": "__main__", "class_name": "function", "config": "my_loss"}}
    assert code_in_config(network(part("Dense"), compile_config=mine)) == ""
