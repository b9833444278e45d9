"""Reads .tflite files with the device's runtime, without code of the product."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from tflite_runtime.interpreter import Interpreter

Array = npt.NDArray[Any]


def opened(tflite: bytes) -> Any:
    """The model, ready to run."""
    model = Interpreter(model_content=tflite)
    model.allocate_tensors()
    return model


def answers(tflite: bytes, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(samples, features …) to (samples, classes), one sample at a time."""
    model = opened(tflite)
    given = []
    for sample in x:
        model.set_tensor(model.get_input_details()[0]["index"], sample[None])
        model.invoke()
        given.append(model.get_tensor(model.get_output_details()[0]["index"])[0])
    return np.array(given)


def edges(tflite: bytes) -> list[str]:
    """The types of what it takes and gives."""
    model = opened(tflite)
    return [np.dtype(tensor["dtype"]).name for tensor in (*model.get_input_details(), *model.get_output_details())]


def weights(tflite: bytes) -> list[Array]:
    """The kernels: constants of floats or int8 in two dimensions or more."""
    model = opened(tflite)
    operations = model._get_ops_details()
    made = {int(index) for operation in operations for index in operation["outputs"]}
    given = {tensor["index"] for tensor in model.get_input_details()}
    taken = {int(index) for operation in operations for index in operation["inputs"]} - made - given
    return [
        model.get_tensor(tensor["index"])
        for tensor in model.get_tensor_details()
        if tensor["index"] in taken and len(tensor["shape"]) > 1 and np.dtype(tensor["dtype"]).name != "int32"
    ]
