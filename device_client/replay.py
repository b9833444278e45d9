"""A ready-made application: predicts rows of a file at a steady rate, and labels some.

The .npz has `x`, inputs of the contract's shape, and optionally `y`, truths of the
model's task: a class or a value for each input, or an array of them.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from device_client.serving.prediction import Prediction
from device_client.serving.predictor import Predictor
from protocol.errors import BadInput, FerryError

LABEL_DELAY: Final = 3  # predictions: applications learn the truth later, too
_HINT: Final = "make it with numpy.savez(FILE, x=inputs, y=true_classes)"


@dataclass
class ReplayCounts:
    """Predictions so far, with those that raised an error."""

    predictions: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Recording:
    """The rows of a file: `x` (rows, …), `y` (rows, …) or None."""

    x: NDArray[Any]  # whole numbers, or float32
    y: NDArray[Any] | None

    @classmethod
    def read(cls, path: Path) -> Recording:
        """Raises BadInput that names the file and the fault."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                if "x" not in arrays:
                    raise BadInput(f"{path} has no array x", hint=_HINT)
                x = _as_given(arrays["x"])
                y = _truths(arrays["y"]) if "y" in arrays else None
        except FileNotFoundError:
            raise BadInput(f"there is no {path}", hint=_HINT) from None
        except (OSError, ValueError, TypeError, BadZipFile, EOFError) as broken:  # TypeError: a bare .npy
            raise BadInput(f"{path} is no .npz of arrays: {str(broken)[:120]}", hint=_HINT) from None
        if x.ndim < 2:
            raise BadInput(f"{path} has an x of shape {list(x.shape)}, which holds no rows of inputs", hint=_HINT)
        if len(x) == 0 or (y is not None and len(y) != len(x)):
            raise BadInput(f"{path} has {len(x)} inputs and {0 if y is None else len(y)} labels", hint=_HINT)
        return cls(np.ascontiguousarray(x), y)


def _as_given(x: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers in their own type, others as float32."""
    return x if x.dtype.kind in "iu" else np.asarray(x, dtype=np.float32)


def _truths(y: NDArray[Any]) -> NDArray[Any]:
    """Classes as int64, also if they were saved as floats; other numbers as float64."""
    numbers = np.atleast_1d(y).astype(np.float64)
    whole: NDArray[Any] = np.where(np.isfinite(numbers), numbers, 0).astype(np.int64)
    return whole if np.array_equal(whole, numbers) else numbers


def replay(
    model: Predictor,
    recording: Recording,
    *,
    rate_hz: float,
    label_share: float,
    stop: threading.Event,
    count: ReplayCounts,
) -> None:
    every = max(1, round(1 / label_share)) if label_share > 0 and recording.y is not None else 0
    unlabelled: list[tuple[Prediction, Any]] = []
    due_s = time.monotonic()
    row = 0
    while not stop.is_set():
        try:
            prediction = model.predict(recording.x[row])
        except FerryError:
            count.failed += 1
        else:
            if every and count.predictions % every == 0 and recording.y is not None:
                unlabelled.append((prediction, recording.y[row].tolist()))
            if len(unlabelled) > LABEL_DELAY:
                model.label(*unlabelled.pop(0))
        count.predictions += 1
        row = (row + 1) % len(recording.x)
        due_s = max(due_s + 1 / rate_hz, time.monotonic() - 1.0)  # no burst after a long pause
        stop.wait(max(0.0, due_s - time.monotonic()))
