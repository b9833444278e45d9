"""Samples as an application gives them: checked, drawn at random, prepared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from protocol.errors import BadInput
from protocol.messages.preprocessing import ArrayInput, AudioInput, CropStep, PictureInput, ResizeStep
from protocol.preprocessing.preprocessor import Preprocessor

Array = npt.NDArray[Any]
UNKNOWN_SIDE: Final = 96  # pixels, of a random picture where no step names a size
LARGER: Final = 4  # a random picture is a quarter larger than what is made of it: resizing shows


def random_raw(preprocessor: Preprocessor, count: int, seed: int) -> list[Array]:
    """Random pictures, sounds and arrays, each (count, …), always the same."""
    rng = np.random.default_rng(seed)
    declared = preprocessor.declared.inputs
    return [_random(raw, steps.steps, count, rng) for raw, steps in zip(preprocessor.raws, declared, strict=True)]


def checked(preprocessor: Preprocessor, raw: Sequence[Array]) -> list[Array]:
    """The samples in their raw types, each (samples, …). Raises BadInput."""
    arrays, batched = preprocessor.arrange(raw[0] if len(raw) == 1 else list(raw))
    if not batched:
        raise BadInput(f"it holds one sample of {list(arrays[0].shape[1:])}", hint="x is (samples, …)")
    return arrays


def _random(raw: Any, steps: Sequence[Any], count: int, rng: np.random.Generator) -> Array:
    match raw:
        case PictureInput():
            height, width = _size(steps)
            channels = 1 if raw.order == "grey" else 3
            return rng.integers(0, 256, (count, height, width, channels), dtype=np.uint8)
        case AudioInput(samples=samples):
            return rng.integers(-8_192, 8_192, (count, samples), dtype=np.int16)
        case ArrayInput(shape=shape, dtype=dtype):
            sizes = (count, *(max(1, size) for size in shape))
            if dtype == "float32":
                return rng.random(sizes, np.float32)
            bounds = np.iinfo(dtype)
            return rng.integers(max(bounds.min, -128), min(bounds.max, 127), sizes, endpoint=True).astype(dtype)
    raise TypeError(raw)


def _size(steps: Sequence[Any]) -> tuple[int, int]:
    """Height and width for the first step that has them, a quarter larger."""
    for step in steps:
        if isinstance(step, ResizeStep | CropStep):
            left, top = getattr(step, "left", 0) or 0, getattr(step, "top", 0) or 0
            return (step.height + top) * (LARGER + 1) // LARGER + 1, (step.width + left) * (LARGER + 1) // LARGER + 1
    return UNKNOWN_SIDE, UNKNOWN_SIDE
