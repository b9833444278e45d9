"""Recorded truths reach the model in the words of any task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_client.replay import Recording


@pytest.mark.parametrize(
    ("y", "first"),
    [
        (np.array([2, 0], np.int64), 2),
        (np.array([2.0, 0.0], np.float32), 2),  # classes that were saved as floats
        (np.array([2.5, 0.0], np.float32), 2.5),
        (np.array([[2.5, 1.0], [0.0, 0.0]]), [2.5, 1.0]),
        (np.array([[[1, 0]], [[0, 0]]], np.int64), [[1, 0]]),
        (np.array([np.nan, 1.0]), np.nan),
    ],
)
def test_a_truth_is_a_class_a_value_or_an_array(y: np.ndarray[Any, Any], first: object, tmp_path: Path) -> None:
    np.savez(tmp_path / "recorded.npz", x=np.zeros((2, 3)), y=y)
    recording = Recording.read(tmp_path / "recorded.npz")
    assert recording.y is not None
    assert np.array_equal(recording.y[0].tolist(), first, equal_nan=True)  # type: ignore[arg-type] # any truth
    assert type(recording.y[0].tolist()) is type(first)
