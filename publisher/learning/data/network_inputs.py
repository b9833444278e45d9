"""Brings a recipe's inputs into the order of a network or of a converted file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from protocol.errors import BadModel
from publisher.learning.data.dataset import Floats

Each = TypeVar("Each")
PREFIX: Final = "serving_default_"  # of the converter's, before the name of an input layer


def file_name_of(layer: str) -> str:
    """The name of an input layer in a converted file, where few characters can be."""
    return re.sub(r"[^A-Za-z0-9_.\-/]", "_", layer)


def in_network_order(inputs: Sequence[Each], names: Sequence[str], network: Any) -> list[Each]:
    """`inputs`, by their `names` if they have any, as the network takes them."""
    if not names:
        return list(inputs)
    by_name = dict(zip(names, inputs, strict=True))
    return [by_name[name] for name in network.input_names]


def in_file_order(inputs: Sequence[Each], names: Sequence[str], tensors: Sequence[str]) -> list[Each]:
    """`inputs` of these input layers in the order of a file's `tensors`, by name."""
    if len(inputs) == 1:
        return list(inputs)
    by_name = dict(zip(map(file_name_of, names), inputs, strict=True))
    bare = [tensor.removeprefix(PREFIX).partition(":")[0] for tensor in tensors]
    if sorted(bare) != sorted(by_name):
        raise BadModel(
            f"the file takes {', '.join(bare)}, the network {', '.join(by_name)}",
            hint="name each input layer in plain letters: tf_keras.Input(…, name=…)",
        )
    return [by_name[name] for name in bare]


def as_keras_takes(inputs: Sequence[Floats]) -> Any:
    """One array, or a list of them."""
    return list(inputs) if len(inputs) > 1 else inputs[0]
