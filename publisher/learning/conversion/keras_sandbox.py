"""Converts a Keras file or a SavedModel in a child process, so that a hostile or broken one cannot end the publisher.

The parent's side: starts the child, waits, and turns each way to fail into BadModel. The child's side is `keras_child`.
Imports no TensorFlow.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from protocol.errors import BadModel, MissingPart
from publisher.learning.conversion.keras_model_file import HINT, kind_of
from publisher.learning.data.dataset import Floats
from publisher.learning.measurement.sandbox import PACKAGES

TIMEOUT_S: Final = 900  # a large network, converted to integers on a slow machine
UNKNOWN_CLASS: Final = ("Unknown layer", "Unknown object", "Could not locate", "must be an instance of class Layer")
WRITTEN: Final = ("float32", "int8")


@dataclass(frozen=True, slots=True, eq=False)
class Converted:
    """The .tflite files by variant, and why each variant that is not there was left out."""

    files: dict[str, bytes]
    left_out: dict[str, str]


def convert_file(path: Path, calibration: Floats | None, *, trust_code: bool = False) -> Converted:
    """Convert; `calibration` (samples, features …) is for int8, which is left out without. Raises BadModel."""
    kind_of(path)
    with tempfile.TemporaryDirectory(prefix="edgeferry-") as held:
        folder = Path(held)
        job = {"path": str(path.absolute()), "trust_code": trust_code, "timeout_s": TIMEOUT_S}
        (folder / "job.json").write_text(json.dumps(job))
        if calibration is not None:
            np.save(folder / "calibration.npy", calibration)
        told = _told(_start(folder, path), folder, path)
        files = {name: folder / f"{name}.tflite" for name in WRITTEN}
        return Converted(
            {name: file.read_bytes() for name, file in files.items() if file.is_file()}, dict(told["left_out"])
        )


def _start(folder: Path, path: Path) -> subprocess.CompletedProcess[str]:
    packages = os.pathsep.join(filter(None, (str(PACKAGES), os.environ.get("PYTHONPATH"))))
    try:
        return subprocess.run(
            [sys.executable, "-P", "-m", "publisher.learning.conversion.keras_sandbox_child", str(folder)],
            env={**os.environ, "PYTHONPATH": packages, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise BadModel(f"{path.name} was not converted after {TIMEOUT_S} s", hint="use a smaller model") from late


def _told(ended: subprocess.CompletedProcess[str], folder: Path, path: Path) -> dict[str, Any]:
    result = folder / "result.json"
    if ended.returncode != 0 or not result.is_file():
        died = signal.Signals(-ended.returncode).name if ended.returncode < 0 else f"exit status {ended.returncode}"
        raise BadModel(
            f"{path.name} cannot be opened: it ends the process that tries ({died})",
            hint="is the file whole? save it again",
        )
    told: dict[str, Any] = json.loads(result.read_text())
    if "error" in told:
        raise _refusal(told, path)
    return told


def _refusal(told: dict[str, Any], path: Path) -> BadModel | MissingPart:
    error = str(told["error"])
    if told["kind"] == "MissingPart":
        return MissingPart(error, hint=told["hint"])
    return unopened(path, error) if told["kind"] == "Unforeseen" else BadModel(error, hint=told["hint"])


def unopened(path: Path, error: str) -> BadModel:
    """What Keras or TensorFlow said as they gave a file up, for a person."""
    if any(sign in error for sign in UNKNOWN_CLASS):
        return BadModel(
            f"{path.name} needs classes that are not here: {error}",
            hint="write a recipe whose build_model() makes it and loads its weights, or convert it yourself: --tflite",
        )
    if "OOM" in error or "ResourceExhausted" in error:
        return BadModel(f"{path.name} needs more memory than there is: {error}", hint="use a smaller model")
    return BadModel(f"{path.name} is not a model that can be opened: {error}", hint=HINT)
