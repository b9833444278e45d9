"""Opens and runs models with tflite-runtime or ai-edge-litert, which only it imports.

A hostile file may crash the process: candidates are first opened in `adapters.sandbox`.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from device_client.adapters.runtime.open_model import OpenModel
from device_client.adapters.runtime.refusals import first_line, open_error
from device_client.adapters.runtime.self_test_model import self_test_model
from device_client.adapters.runtime.tensor_binding import Array
from device_client.ports.serving import Delegate
from protocol.errors import BadModel, MissingPart
from protocol.messages.contract import Contract

__all__ = ["Array", "OpenModel", "check_delegates", "check_runtime", "open_model", "runtime_name"]

_MAGIC: Final = b"TFL3"  # at byte 4 of every TensorFlow Lite file
_WARNING: Final = 2  # of the runtime's own log levels: verbose 0, info 1, warning 2
_SET_LOG_LEVEL: Final = "_ZN6tflite16logging_internal13MinimalLogger21SetMinimumLogSeverityENS_11LogSeverityE"
_PLUGIN: Final = ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate")


def open_model(
    path: Path, threads: int = 1, delegates: Sequence[Delegate] = (), contract: Contract | None = None
) -> OpenModel:
    """Open a .tflite file by its contract, or by itself.

    Raises BadModel for the file; MissingPart for the runtime, or a delegate that cannot
    be loaded or that the file needs. The runtime holds Python's lock while it packs the
    weights, about 3 ms for each MB.
    """
    _check_magic(path)
    module = _runtime()[0]

    def make() -> Any:
        own = [_load_delegate(module, delegate) for delegate in delegates] or None  # each interpreter has its own
        return module.Interpreter(model_path=str(path), num_threads=threads, experimental_delegates=own)

    try:
        return OpenModel(make, contract)
    except (RuntimeError, ValueError, SystemError, ImportError, AttributeError) as failure:
        check_runtime()  # is it the file, or the runtime?
        raise open_error(path.name, failure) from None


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
        model = OpenModel(lambda: interpreter_module.Interpreter(model_content=self_test_model(), num_threads=1))
        doubled = model.run([np.array([[1.0, 2.0]], np.float32)])[0]
    except Exception as failure:  # noqa: BLE001 - a broken pair of libraries fails in any way, SystemError among them
        raise MissingPart(
            f"{name} is installed but opens no model with numpy {np.__version__}: {first_line(failure)}",
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
