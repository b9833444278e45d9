"""Runs a .tflite file with the device's runtime. Imports no TensorFlow.

A hostile file can end the process that opens it: use this from `sandbox_child` only.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from protocol.errors import BadModel, MissingPart

Floats = npt.NDArray[np.float32]


class Interpreter:
    """One open model that runs sample by sample on one thread, as on a small device."""

    def __init__(self, path: str, *, reference_kernels: bool = False) -> None:
        """Open the file; `reference_kernels` compute as other hardware might."""
        runtime = load_runtime()
        resolvers = runtime.OpResolverType
        try:
            self._inner = runtime.Interpreter(
                model_path=path,
                num_threads=1,
                experimental_op_resolver_type=resolvers.BUILTIN_REF if reference_kernels else resolvers.AUTO,
            )
        except ImportError as missing:  # built against another numpy, which shows only here
            raise _missing(missing) from missing
        except (ValueError, RuntimeError) as error:
            raise BadModel(str(error)) from error
        self._graph = _graph(self._inner)  # before a delegate replaces parts of it

    def prepare(self) -> None:
        try:
            self._inner.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise BadModel(str(error)) from error

    def run(self, sample: list[Floats]) -> list[Floats]:
        """Run inputs (1, …) float32, in the model's order. Raises BadModel."""
        try:
            for tensor, value in zip(self._inner.get_input_details(), sample, strict=True):
                self._inner.set_tensor(tensor["index"], value)
            self._inner.invoke()
            return [self._inner.get_tensor(tensor["index"]) for tensor in self._inner.get_output_details()]
        except (ValueError, RuntimeError) as error:
            raise BadModel(str(error)) from error

    def inputs(self) -> list[dict[str, Any]]:
        """Name, shape and dtype of inputs; a free dimension is -1 in `signature`."""
        return [_described(tensor) for tensor in self._inner.get_input_details()]

    def outputs(self) -> list[dict[str, Any]]:
        """Name, shape and dtype of each output; the shape is known after a run."""
        return [_described(tensor) for tensor in self._inner.get_output_details()]

    def precision(self) -> str:
        """float32, float16, int8, or dynamic-range (int8 weights, float32 between)."""
        computed = {tensor["dtype"] for op in self._graph for tensor in op["outputs"]}
        held = {tensor["dtype"] for op in self._graph for tensor in op["inputs"]}
        if "int8" in computed:
            return "int8"
        return next((name for dtype, name in HELD if dtype in held), "float32")

    def sparsity(self) -> float:
        """The share of zeros (0-1) in constants of 2 or more dimensions."""
        zeros = count = 0
        for tensor in self._weights():
            values = self._inner.get_tensor(tensor["index"])
            zeros += tensor["values"] - values.size + int((values == tensor["zero"]).sum())
            count += tensor["values"]
        return zeros / count if count else 0.0

    def _weights(self) -> list[dict[str, Any]]:
        made = {tensor["index"] for op in self._graph for tensor in op["outputs"]}
        given = {tensor["index"] for tensor in self._inner.get_input_details()}
        taken = {tensor["index"]: tensor for op in self._graph for tensor in op["inputs"]}
        constants = (tensor for index, tensor in taken.items() if index not in made | given)
        return [tensor for tensor in constants if tensor["dimensions"] >= 2 and tensor["dtype"] in WEIGHTS]

    def output_slack(self) -> list[float]:
        """How far each output moves when integers round differently; 0 for floats.

        Two steps of its own scale; after a softmax also half a step of its input's
        scale: two inputs may move by a step in opposite directions, and the slope of a
        softmax is at most a quarter.
        """
        return [_slack(self._graph, tensor["index"]) for tensor in self._inner.get_output_details()]


OUTPUT_STEPS: Final = 2  # rounding of the layer before, and its own
WEIGHTS: Final = ("float32", "float16", "int8")
HELD: Final = (("int8", "dynamic-range"), ("float16", "float16"))


def load_runtime() -> Any:
    """The runtime's module. Raises MissingPart."""
    try:
        from tflite_runtime import interpreter
    except ImportError:
        try:
            from ai_edge_litert import interpreter
        except ImportError as missing:
            raise _missing(missing) from missing
    return interpreter


def _missing(missing: ImportError) -> MissingPart:
    return MissingPart(
        f"models cannot be run here: {missing}",
        hint="pip install 'edgeferry[publisher]'; tflite-runtime needs Python 3.11 and numpy below 2",
    )


def _described(tensor: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": str(tensor["name"]),
        "shape": [int(side) for side in tensor["shape"]],
        "signature": [int(side) for side in tensor["shape_signature"]],
        "dtype": np.dtype(tensor["dtype"]).name,
    }


def _graph(inner: Any) -> list[dict[str, Any]]:
    """Operations with inputs and outputs, by a private API that both runtimes have."""
    ops = inner._get_ops_details()
    tensors = {index: _held(inner, index) for op in ops for index in (*op["inputs"], *op["outputs"]) if index >= 0}
    return [
        {
            "name": op["op_name"],
            "inputs": [tensors[index] for index in op["inputs"] if index in tensors],
            "outputs": [tensors[index] for index in op["outputs"] if index in tensors],
        }
        for op in ops
    ]


def _held(inner: Any, index: int) -> dict[str, Any]:
    """What `get_tensor_details` tells of a tensor, except how sparse weights are kept.

    Asked for that of weights without a block map, as in MediaPipe's detectors, the
    runtime reads through a null pointer.
    """
    wrapper, at = inner._interpreter, (int(index), 0)
    scales, zeros, _ = wrapper.TensorQuantizationParameters(*at)
    return {
        "index": int(index),
        "dtype": np.dtype(wrapper.TensorType(*at)).name,
        "dimensions": len(wrapper.TensorSize(*at)),
        "values": int(np.prod(wrapper.TensorSize(*at))),  # a sparse constant stores fewer
        "scale": float(scales[0]) if len(scales) == 1 else 0.0,
        "zero": int(zeros[0]) if len(zeros) else 0,  # means zero; the same for all channels of weights
    }


def _slack(graph: list[dict[str, Any]], output: int) -> float:
    last = _maker(graph, output)
    if last is None or last["name"] != "DEQUANTIZE" or not last["inputs"]:
        return 0.0
    integer = last["inputs"][0]
    before = _maker(graph, integer["index"])
    softmax = before is not None and before["name"] == "SOFTMAX" and before["inputs"]
    half_logit = before["inputs"][0]["scale"] / 2 if before is not None and softmax else 0.0
    return float(OUTPUT_STEPS * integer["scale"] + half_logit)


def _maker(graph: list[dict[str, Any]], index: int) -> dict[str, Any] | None:
    return next((op for op in graph if any(tensor["index"] == index for tensor in op["outputs"])), None)
