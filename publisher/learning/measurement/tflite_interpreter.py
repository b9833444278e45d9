"""Runs a .tflite file with the device's runtime. Imports no TensorFlow.

A hostile file can end the process that opens it: use this from `sandbox_child` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from protocol.errors import BadModel, MissingPart

Array = npt.NDArray[Any]


USUAL: Final = "AUTO"
REFERENCE: Final = "BUILTIN_REF"
PLAIN: Final = "BUILTIN_WITHOUT_DEFAULT_DELEGATES"


class Interpreter:
    """One open model that runs sample by sample on one thread, as on a small device.

    `kernels` other than USUAL compute as other hardware might, and lack some
    operations. With `signature` inputs and outputs are its own, sorted by name.
    """

    def __init__(self, path: str, *, kernels: str = USUAL, signature: str = "") -> None:
        runtime = load_runtime()
        try:
            self._inner = runtime.Interpreter(
                model_path=path,
                num_threads=1,
                experimental_op_resolver_type=getattr(runtime.OpResolverType, kernels),
            )
        except ImportError as missing:  # built against another numpy, which shows only here
            raise _missing(missing) from missing
        except (ValueError, RuntimeError) as error:
            raise BadModel(str(error)) from error
        self._graph = _graph(self._inner)  # before a delegate replaces parts of it
        self._runner = self._signature_runner(signature) if signature else None
        self._shapes: list[tuple[int, ...]] = []

    def prepare(self) -> None:
        """Allocate the file's own sizes; free ones are given by a run."""
        try:
            self._inner.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise BadModel(str(error)) from error

    def run(self, sample: Sequence[Array]) -> list[Array]:
        """Run whole input tensors, in the contract's order. Raises BadModel."""
        try:
            return self._run_first(sample) if self._runner is None else self._run_signature(self._runner, sample)
        except (ValueError, RuntimeError) as error:
            raise BadModel(str(error)) from error

    def inputs(self) -> list[dict[str, Any]]:
        """Name, type, quantization and shape; a free dimension is -1 in `signature`."""
        return self._described("inputs")

    def outputs(self) -> list[dict[str, Any]]:
        """The same of each output; the shape is known after a run."""
        return self._described("outputs")

    def signatures(self) -> list[str]:
        return [str(name) for name in self._inner.get_signature_list()]

    def operations(self) -> list[str]:
        return sorted({op["name"] for op in self._graph})

    def _run_first(self, sample: Sequence[Array]) -> list[Array]:
        details, shapes = self._inner.get_input_details(), [value.shape for value in sample]
        if shapes != self._shapes:
            for tensor, shape in zip(details, shapes, strict=True):
                if shape != tuple(tensor["shape"]):
                    self._inner.resize_tensor_input(tensor["index"], shape)
            self._inner.allocate_tensors()
            self._shapes = shapes
        for tensor, value in zip(details, sample, strict=True):
            self._inner.set_tensor(tensor["index"], value)
        self._inner.invoke()
        return [self._inner.get_tensor(tensor["index"]) for tensor in self._inner.get_output_details()]

    def _run_signature(self, runner: Any, sample: Sequence[Array]) -> list[Array]:
        names = sorted(runner.get_input_details())
        outputs = runner(**dict(zip(names, sample, strict=True)))
        return [outputs[name] for name in sorted(outputs)]

    def _signature_runner(self, signature: str) -> Any:
        known = self.signatures()
        if signature not in known:
            held = f"has {', '.join(known)}" if known else "has none"
            raise BadModel(f"there is no signature {signature!r}: the file {held}")
        return self._inner.get_signature_runner(signature)

    def _described(self, side: str) -> list[dict[str, Any]]:
        if self._runner:
            found = self._runner.get_input_details() if side == "inputs" else self._runner.get_output_details()
            return [_described(found[name], name) for name in sorted(found)]
        details = self._inner.get_input_details() if side == "inputs" else self._inner.get_output_details()
        names = self._names(side, {int(tensor["index"]) for tensor in details})
        return [_described(tensor, names.get(int(tensor["index"]), str(tensor["name"]))) for tensor in details]

    def _names(self, side: str, indexes: set[int]) -> dict[int, str]:
        """Names that the first signature gives to the tensors of the first graph."""
        for signature in list(self._inner._get_full_signature_list().values())[:1]:
            names = {int(index): str(name) for name, index in signature[side].items()}
            if set(names) == indexes:
                return names
        return {}

    def precision(self) -> str:
        """float32, float16, int8, uint8, int16, or dynamic-range: int8 weights."""
        computed = {tensor["dtype"] for op in self._graph for tensor in op["outputs"] if tensor["scale"]}
        held = {tensor["dtype"] for op in self._graph for tensor in op["inputs"]}
        integer = next((name for name in COMPUTED if name in computed), None)
        return integer or next((name for dtype, name in HELD if dtype in held), "float32")

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
COMPUTED: Final = ("int16", "int8", "uint8")
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


def _described(tensor: dict[str, Any], name: str) -> dict[str, Any]:
    dtype, quantization = np.dtype(tensor["dtype"]), tensor["quantization_parameters"]
    quantized = dtype.kind in "iu" and len(quantization["scales"]) == 1
    shape = [int(side) for side in tensor["shape"]]
    signature = [int(side) for side in tensor["shape_signature"]]
    return {
        "name": name,
        "shape": shape,
        "signature": signature if len(signature) == len(shape) else shape,
        "dtype": "string" if dtype.kind in "SO" else dtype.name,
        "scale": float(quantization["scales"][0]) if quantized else 0.0,
        "zero_point": int(quantization["zero_points"][0]) if quantized else 0,
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
    if last is None:
        return 0.0
    ends_in_floats = last["name"] == "DEQUANTIZE" and last["inputs"]
    integer = last["inputs"][0] if ends_in_floats else next(each for each in last["outputs"] if each["index"] == output)
    before = _maker(graph, integer["index"])
    softmax = before is not None and before["name"] == "SOFTMAX" and before["inputs"]
    half_logit = before["inputs"][0]["scale"] / 2 if before is not None and softmax else 0.0
    return float(OUTPUT_STEPS * integer["scale"] + half_logit) if integer["scale"] else 0.0


def _maker(graph: list[dict[str, Any]], index: int) -> dict[str, Any] | None:
    return next((op for op in graph if any(tensor["index"] == index for tensor in op["outputs"])), None)
