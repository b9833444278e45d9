"""Imports TensorFlow and tf_keras when needed, and reports installed versions."""

from __future__ import annotations

import importlib
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from protocol.errors import MissingPart
from publisher.learning.quiet_tensorflow import silence_tensorflow

TRACED: Final = (
    "tensorflow", "tf-keras", "tensorflow-model-optimization", "numpy", "scikit-learn", "tflite-runtime",
    "ai-edge-litert",
)  # fmt: skip


def load_tensorflow() -> Any:
    """TensorFlow, its output discarded. Raises MissingPart."""
    return _load("tensorflow")


def load_tf_keras() -> Any:
    """Keras 2, which compression needs, not Keras 3. Raises MissingPart."""
    return _load("tf_keras")


def load_tfmot() -> Any:
    """The toolkit to prune, cluster and quantize `tf_keras`. Raises MissingPart."""
    return _load("tensorflow_model_optimization")


def versions() -> dict[str, str]:
    """Installed versions that shape a model's bytes. Imports nothing."""
    found = {"python": platform.python_version()}
    for name in TRACED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _load(name: str) -> Any:
    with silence_tensorflow():
        try:
            return importlib.import_module(name)
        except ImportError as missing:
            raise MissingPart(
                f"training needs {name}, which cannot be imported: {missing}",
                hint="pip install 'edgeferry[publisher]', on Python 3.11",
            ) from missing
