"""Opens and runs models with tflite-runtime or ai-edge-litert, which only it imports.

Callers give and get float32, whatever the file's quantization. A hostile file may crash
the process: candidates are first opened in `adapters.sandbox`.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from device_client.adapters.runtime.self_test_model import self_test_model
from device_client.ports.serving import Delegate
from protocol.errors import BadModel, MissingPart
from protocol.messages.contract import Contract, Tensor

Array = NDArray[Any]  # the values of a tensor
_MAGIC: Final = b"TFL3"  # at byte 4 of every TensorFlow Lite file
_WARNING: Final = 2  # of the runtime's own log levels: verbose 0, info 1, warning 2
_SET_LOG_LEVEL: Final = "_ZN6tflite16logging_internal13MinimalLogger21SetMinimumLogSeverityENS_11LogSeverityE"
_PLUGIN: Final = ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate")


@dataclass(frozen=True, slots=True)
class TensorEdge:
    """An input or output in file and contract; `scale` is 0 without quantization."""

    tensor: Tensor
    index: int
    dtype: np.dtype[Any]
    scale: float
    zero_point: int

    def to_file(self, shown: Array) -> Array:
        if not self.scale:
            return np.ascontiguousarray(shown, self.dtype)
        bounds = np.iinfo(self.dtype)
        steps: Array = np.rint(np.asarray(shown, np.float32) / self.scale) + self.zero_point
        return np.clip(steps, bounds.min, bounds.max).astype(self.dtype)

    def to_shown(self, computed: Array) -> Array:
        if self.scale:
            return (computed.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)
        return computed.astype(self.tensor.dtype, copy=False)


class OpenModel:
    """A model in memory, for one thread at a time."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter
        self._inputs = [_edge(facts) for facts in interpreter.get_input_details()]
        self._outputs = [_edge(facts) for facts in interpreter.get_output_details()]
        self.contract = Contract(
            inputs=tuple(edge.tensor for edge in self._inputs), outputs=tuple(edge.tensor for edge in self._outputs)
        )
        for tensor in self.contract.inputs:
            if tensor.shape[:1] != (1,):
                raise BadModel(
                    f"input {tensor.name!r} has the fixed shape {list(tensor.shape)}: its first dimension is no batch",
                    hint="convert it with a batch of 1",
                )

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Run a batch of arrays (n, …) in the contract's order. Raises BadModel."""
        count = len(inputs[0])
        if count == 1:
            return self._once(inputs)
        outputs = [self._once([each[at : at + 1] for each in inputs]) for at in range(count)]
        return [
            np.concatenate(column) if column[0].shape[:1] == (1,) else np.stack(column)
            for column in zip(*outputs, strict=True)
        ]

    def warm_up(self) -> None:
        """Run once on zeros, as the first run prepares kernels. Raises BadModel."""
        self.run([np.zeros(tensor.shape, tensor.dtype) for tensor in self.contract.inputs])

    def _once(self, inputs: Sequence[Array]) -> list[Array]:
        try:
            for edge, given in zip(self._inputs, inputs, strict=True):
                self._interpreter.set_tensor(edge.index, edge.to_file(given))
            self._interpreter.invoke()
            return [edge.to_shown(self._interpreter.get_tensor(edge.index)) for edge in self._outputs]
        except (RuntimeError, ValueError) as failure:
            raise BadModel(f"the runtime could not run the model: {_first_line(failure)}") from None


def open_model(path: Path, threads: int = 1, delegates: Sequence[Delegate] = ()) -> OpenModel:
    """Open a .tflite file. Raises BadModel; MissingPart for the runtime or a delegate.

    The runtime holds Python's lock while it packs the weights, about 3 ms for each MB.
    """
    _check_magic(path)
    try:
        module = _runtime()[0]
        own = [_load_delegate(module, delegate) for delegate in delegates] or None  # each interpreter has its own
        interpreter = module.Interpreter(model_path=str(path), num_threads=threads, experimental_delegates=own)
        interpreter.allocate_tensors()
        return OpenModel(interpreter)
    except (RuntimeError, ValueError, SystemError, ImportError, AttributeError) as failure:
        check_runtime()  # is it the file, or the runtime?
        raise BadModel(f"the runtime could not open {path.name}: {_first_line(failure)}") from None


def check_delegates(delegates: Sequence[Delegate]) -> None:
    """Load and release each. Raises MissingPart for the first that cannot be loaded."""
    module = _runtime()[0]
    for delegate in delegates:
        _load_delegate(module, delegate)


def check_runtime() -> str:
    """Open and run a tiny model; return the runtime's name. Raises MissingPart.

    An import proves little: with numpy 2, tflite-runtime 2.14 fails at its first model.
    """
    interpreter_module, name = _runtime()
    try:
        interpreter = interpreter_module.Interpreter(model_content=self_test_model(), num_threads=1)
        interpreter.allocate_tensors()
        doubled = OpenModel(interpreter).run([np.array([[1.0, 2.0]], np.float32)])[0]
    except Exception as failure:  # noqa: BLE001 - a broken pair of libraries fails in any way, SystemError among them
        raise MissingPart(
            f"{name} is installed but opens no model with numpy {np.__version__}: {_first_line(failure)}",
            hint=_repair(name),
        ) from None
    if doubled.tolist() != [[2.0, 4.0]]:
        raise MissingPart(f"{name} is installed but computes wrongly: {doubled.tolist()}", hint=_repair(name))
    return name


def runtime_name() -> str:
    """Such as "tflite-runtime 2.14.0". Raises MissingPart when none is installed."""
    return _runtime()[1]


@functools.cache  # reading the version takes as long as opening a small model
def _runtime() -> tuple[ModuleType, str]:
    try:
        import tflite_runtime.interpreter as tflite  # here, as it may not be installed

        _silence(tflite)
        return tflite, f"tflite-runtime {importlib.metadata.version('tflite-runtime')}"
    except ModuleNotFoundError:
        pass
    try:
        import ai_edge_litert.interpreter as litert  # the same
    except ModuleNotFoundError:
        raise MissingPart(
            "no TensorFlow Lite runtime is installed", hint='type: pip install "edgeferry[device]"'
        ) from None
    return litert, f"ai-edge-litert {importlib.metadata.version('ai-edge-litert')}"


def _load_delegate(module: ModuleType, delegate: Delegate) -> Any:
    """The delegate as the interpreter takes it. Raises MissingPart."""
    try:
        library = ctypes.CDLL(delegate.library)
        # the runtime's wrapper of a library without them raises again when deleted
        if not all(hasattr(library, name) for name in _PLUGIN):
            raise MissingPart(f"{delegate.library} is a library, but no delegate of TensorFlow Lite")
        return module.load_delegate(delegate.library, dict(delegate.options))
    except (OSError, ValueError, RuntimeError) as failure:
        raise MissingPart(
            f"the delegate {delegate.library} cannot be loaded: {' '.join(str(failure).split())[:300]}",
            hint="see that the library, its driver and its hardware are there",
        ) from None


def _check_magic(path: Path) -> None:
    try:
        with path.open("rb") as model:
            head = model.read(8)
    except OSError as refused:
        raise BadModel(f"{path.name} cannot be read: {refused.strerror}") from None
    if head[4:8] != _MAGIC:
        raise BadModel(f"{path.name} is no TensorFlow Lite file: its first bytes are {head.hex(' ') or 'missing'}")


def _edge(facts: dict[str, Any]) -> TensorEdge:
    dtype = np.dtype(facts["dtype"])
    quantization = facts["quantization_parameters"]
    quantized = dtype.kind in "iu" and len(quantization["scales"]) == 1
    shown = "float32" if quantized else dtype.name
    return TensorEdge(
        tensor=Tensor(name=facts["name"][:200], shape=tuple(int(size) for size in facts["shape"]), dtype=shown),
        index=facts["index"],
        dtype=dtype,
        scale=float(quantization["scales"][0]) if quantized else 0.0,
        zero_point=int(quantization["zero_points"][0]) if quantized else 0,
    )


def _silence(module: ModuleType) -> None:
    """Silence the line about its delegate; ai-edge-litert hides the function for it."""
    # redirecting descriptor 2 would lose what other threads write
    with contextlib.suppress(AttributeError, OSError):  # another build: one line more on stderr is no reason to fail
        library = ctypes.CDLL(module._interpreter_wrapper.__file__)
        getattr(library, _SET_LOG_LEVEL)(_WARNING)


def _repair(name: str) -> str:
    if name.startswith("tflite-runtime") and int(np.__version__.split(".")[0]) >= 2:
        return 'type: pip install "numpy<2"'
    return 'type: pip install --force-reinstall "edgeferry[device]"'


def _first_line(failure: BaseException) -> str:
    text = str(failure.__cause__ or failure).strip()
    return text.splitlines()[0][:300] if text else type(failure).__name__
