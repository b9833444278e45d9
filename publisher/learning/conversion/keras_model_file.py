"""Opens model files of Keras and TensorFlow, if they hold no Python code.

Opening needs TensorFlow. Files may be hostile: `keras_sandbox` opens them in a child.
"""

from __future__ import annotations

import importlib
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

from protocol.errors import BadModel
from protocol.messages.manifest import BLOB_MAX_BYTES
from publisher.learning.quiet_tensorflow import silence_tensorflow
from publisher.learning.tensorflow_import import load_tf_keras

Kind = Literal["h5", "keras", "saved_model"]
HDF5: Final = b"\x89HDF\r\n\x1a\n"
ZIP: Final = b"PK\x03\x04"
GRAPH: Final = "saved_model.pb"
KERAS_METADATA: Final = "keras_metadata.pb"  # the layers, from which tf_keras rebuilds the network
CONFIG_MAX_BYTES: Final = 50_000_000
HINT: Final = "give what model.save() wrote: a .h5 or .keras file, or a SavedModel folder"
TRUST_HINT: Final = (
    "save it without Lambda layers and classes of its own; or, if you trust its source, add --trust-code"
)
KERAS_MODULE: Final = re.compile(
    r"(tf_)?keras(\.src)?(\.(layers|models|initializers|regularizers|constraints|activations|optimizers|losses|metrics"
    r"|engine|mixed_precision|dtype_policies|random|ops)(\.[\w.]+)?)?"
)
# TensorFlow functions that a network may name; others access files or call Python
PLAIN_OPERATION: Final = re.compile(r"((math|nn|image|linalg|signal|__operators__)\.)?[a-z]\w*")
CALLS_PYTHON: Final = {"py_function", "numpy_function", "load_library", "load_op_library", "print"}


def kind_of(path: Path) -> Kind:
    """The kind of a file, by its first bytes. Raises BadModel."""
    if path.is_dir():
        if not (path / GRAPH).is_file():
            raise BadModel(f"the folder {path} is no SavedModel: it has no {GRAPH}", hint=HINT)
        return "saved_model"
    try:
        with path.open("rb") as file:
            start = file.read(8)
            size_bytes = path.stat().st_size
    except OSError as error:
        raise BadModel(f"{path} cannot be read: {error.strerror}", hint=HINT) from error
    if size_bytes > BLOB_MAX_BYTES:
        raise BadModel(f"{path.name} has {size_bytes} bytes", hint=f"a release holds at most {BLOB_MAX_BYTES}")
    if start == HDF5:
        return "h5"
    if start.startswith(ZIP):
        return _checked_zip(path)
    what = "but a .tflite file" if start[4:] == b"TFL3" else "nor any file that Keras writes"
    raise BadModel(
        f"{path.name} is no Keras model, {what}", hint="give it with --tflite" if start[4:] == b"TFL3" else HINT
    )


def is_keras_3(path: Path, kind: Kind) -> bool:
    """Whether Keras 3 wrote it, so that Keras 2 cannot open it. Raises BadModel."""
    version = str(json.loads(_member(path, "metadata.json")).get("keras_version", "")) if kind == "keras" else ""
    if kind == "h5":
        version = _h5_attribute(path, "keras_version") or "2"
    return int((version.split(".")[0] or "2").strip()) >= 3


def check_no_code(path: Path, kind: Kind) -> None:
    """Check that opening the file runs no Python code of its own. Raises BadModel."""
    if kind == "saved_model":
        found = _code_in_metadata(path)
    else:
        config = _member(path, "config.json").decode() if kind == "keras" else _h5_attribute(path, "model_config")
        if not config:
            raise BadModel(
                f"{path.name} holds weights alone, no network",
                hint="save the whole model with model.save(), or write a recipe whose build_model() loads them",
            )
        found = code_in_config(json.loads(config))
    if found:
        raise BadModel(f"{path.name} holds code that opening it would run: {found}", hint=TRUST_HINT)


def code_in_config(config: dict[str, Any]) -> str:
    """The first foreign code that opening this network would run; empty if none."""
    return next(_code_in({**config, "compile_config": None}), "")  # opening ignores that


def open_network(path: Path, *, trust_code: bool = False) -> Any:
    """The uncompiled Keras 2 or 3 network of a file. Raises BadModel, Keras' errors."""
    kind = kind_of(path)
    if not trust_code:
        check_no_code(path, kind)
    if kind == "saved_model" or not is_keras_3(path, kind):
        with silence_tensorflow():
            return load_tf_keras().models.load_model(path, compile=False, safe_mode=not trust_code)
    with silence_tensorflow():
        keras_3 = importlib.import_module("keras")
        return keras_3.saving.load_model(path, compile=False, safe_mode=not trust_code)


def _checked_zip(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            unpacked_bytes = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise BadModel(f"{path.name} is not a whole .keras file: {error}", hint="save it again") from error
    if not {"config.json", "metadata.json"} <= names:
        data = any(name.endswith(".npy") for name in names)
        what = "but data (.npz)" if data else "for it lacks config.json and metadata.json"
        raise BadModel(f"{path.name} is no Keras model, {what}", hint="give it with --data" if data else HINT)
    if unpacked_bytes > BLOB_MAX_BYTES:
        raise BadModel(f"{path.name} unpacks to {unpacked_bytes} bytes", hint=f"at most {BLOB_MAX_BYTES} are read")
    return "keras"


def _member(path: Path, name: str) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name) as member:
            return member.read(CONFIG_MAX_BYTES)
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as error:  # RuntimeError: encrypted
        raise BadModel(f"{path.name} is not a whole .keras file: {error}", hint="save it again") from error


def _h5_attribute(path: Path, name: str) -> str:
    """A text attribute of an HDF5 file; empty if there is none."""
    h5py = importlib.import_module("h5py")
    with h5py.File(path, "r") as file:
        value = file.attrs.get(name, "")
    return value.decode() if isinstance(value, bytes) else str(value)


def _code_in_metadata(folder: Path) -> str:
    """Layers are JSON texts in this file, with a Lambda's function beside its name."""
    metadata = folder / KERAS_METADATA
    content = metadata.read_bytes() if metadata.is_file() else b""
    return "a Lambda layer" if re.search(rb'"class_name": ?"Lambda"|"function_type": ?"lambda"', content) else ""


def _code_in(config: Any) -> Iterator[str]:
    """All foreign code in a network's configuration, described for a person."""
    if isinstance(config, dict) and (found := _code(config)):
        yield found
    for part in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        yield from _code_in(part)


def _code(config: dict[str, Any]) -> str:
    name, module = str(config.get("class_name", "")), config.get("module")
    if name in ("Lambda", "__lambda__"):
        return "a Lambda layer" if name == "Lambda" else "a lambda"
    if module is not None and name and module != "builtins" and not KERAS_MODULE.fullmatch(str(module)):
        what = config.get("config") if name == "function" else name
        return f"{what} of the module {module}"[:200]
    inner = config.get("config")
    if name in ("TFOpLambda", "SlicingOpLambda") and isinstance(inner, dict):
        function = str(inner.get("function", ""))
        if not PLAIN_OPERATION.fullmatch(function) or function in CALLS_PYTHON:
            return f"the operation {function}"[:200]
    return ""
