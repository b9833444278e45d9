"""Converts a Keras file or a SavedModel in a child process, the only one it can crash.

Imports no TensorFlow. Each way to fail becomes BadModel or MissingPart.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from protocol.errors import BadModel, MissingPart
from protocol.host.child_process import JobFailed, Limits, Stopped, run_job
from publisher.learning.conversion.keras_model_file import HINT, kind_of
from publisher.learning.data.dataset import Floats

TIMEOUT_S: Final = 900  # a large network, converted to integers on a slow machine
MEMORY_BYTES: Final = 16_000_000_000  # address space; TensorFlow reserves far more than it uses
UNKNOWN_CLASS: Final = ("Unknown layer", "Unknown object", "Could not locate", "must be an instance of class Layer")
VARIANTS: Final = ("float32", "int8")


@dataclass(frozen=True, slots=True, eq=False)
class Converted:
    """The .tflite files by variant, and why each missing variant was left out."""

    files: dict[str, bytes]
    left_out: dict[str, str]


def convert_file(path: Path, calibration: Floats | None, *, trust_code: bool = False) -> Converted:
    """Convert to float32, and to int8 when there is a `calibration` (samples, …)."""
    kind_of(path)
    with tempfile.TemporaryDirectory(prefix="edgeferry-") as name:
        folder = Path(name)
        if calibration is not None:
            np.save(folder / "calibration.npy", calibration)
        left_out = _run_child(folder, path, trust_code=trust_code)
        files = {variant: folder / f"{variant}.tflite" for variant in VARIANTS}
        return Converted({variant: file.read_bytes() for variant, file in files.items() if file.is_file()}, left_out)


def _run_child(folder: Path, path: Path, *, trust_code: bool) -> dict[str, str]:
    try:
        result = run_job(
            "publisher.learning.conversion.keras_sandbox_child",
            folder,
            {"path": str(path.absolute()), "trust_code": trust_code},
            limits=Limits(memory_bytes=MEMORY_BYTES, cpu_s=2 * TIMEOUT_S),  # of two cores
            timeout_s=TIMEOUT_S,
            errors=(BadModel, MissingPart),
            environment={"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"},
        )
    except JobFailed as failure:
        ended = failure.ended
        if ended.stopped is Stopped.TIMEOUT:
            raise BadModel(f"{path.name} was not converted after {TIMEOUT_S} s", hint="use a smaller model") from None
        raise BadModel(
            f"{path.name} cannot be opened: it ends the process that tries ({ended.signal_name or ended.description})",
            hint="is the file whole? save it again",
        ) from None
    return dict(result["left_out"])


def unopened(path: Path, error: str) -> BadModel:
    """For a file that Keras or TensorFlow could not open; `error` is their message."""
    if any(sign in error for sign in UNKNOWN_CLASS):
        return BadModel(
            f"{path.name} needs classes that are not here: {error}",
            hint="write a recipe whose build_model() makes it and loads its weights, or convert it yourself: --tflite",
        )
    if "OOM" in error or "ResourceExhausted" in error:
        return BadModel(f"{path.name} needs more memory than there is: {error}", hint="use a smaller model")
    return BadModel(f"{path.name} is not a model that can be opened: {error}", hint=HINT)
