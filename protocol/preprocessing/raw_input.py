"""Checks what an application gives: a picture, a sound, an array, or a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protocol.errors import BadInput
from protocol.messages.contract import bare_name
from protocol.messages.preprocessing import SIDE_MAX, ArrayInput, AudioInput, PictureInput, Raw

Array = NDArray[Any]
PIXELS_MAX: Final = 100_000_000
PICTURE_HINT: Final = "such as numpy.asarray(PIL.Image.open(FILE).convert('RGB'))"


def arrange_raw(given: Any, raw: Raw) -> tuple[Array, bool]:
    """The input as (n, …), and whether it came as a batch. Raises BadInput."""
    try:
        array = np.asarray(given)
    except ValueError as ragged:
        raise BadInput(f"the input is no array: {ragged}"[:300], hint=f"give {describe(raw)}") from None
    return _ARRANGED[type(raw)](array, raw)


def describe(raw: Raw) -> str:
    """What an application gives, in a phrase."""
    match raw:
        case PictureInput(order=order):
            return f"uint8 (height, width, {channels_of(raw)}) of any size, {order}"
        case AudioInput(samples=samples, sample_rate_hz=rate):
            return f"{samples} mono samples at {rate} Hz, int16 or float32 from -1 to 1"
        case ArrayInput(dtype=dtype, shape=shape):
            return f"{dtype} of shape {list(shape)}"


def channels_of(raw: PictureInput) -> int:
    return 1 if raw.order == "grey" else 3


def _picture(array: Array, raw: PictureInput) -> tuple[Array, bool]:
    channels = channels_of(raw)
    if channels == 1 and array.ndim == 2:
        array = array[..., np.newaxis]
    if array.ndim not in (3, 4) or array.shape[-1] != channels or not array.size:
        raise _unlike(array, raw, PICTURE_HINT)
    if max(array.shape[-3:-1]) > SIDE_MAX or array.shape[-3] * array.shape[-2] > PIXELS_MAX:
        raise BadInput(f"a picture of {array.shape[-2]} x {array.shape[-3]} pixels is too large here")
    return _batch(_as_type(array, np.dtype(np.uint8), raw, PICTURE_HINT), 3)


def _sound(array: Array, raw: AudioInput) -> tuple[Array, bool]:
    if array.ndim not in (1, 2) or array.shape[-1] != raw.samples or not array.size:
        raise _unlike(array, raw)
    wanted = np.dtype(np.float32) if array.dtype.kind == "f" else np.dtype(np.int16)
    return _batch(_as_type(array, wanted, raw), 1)


def _values(array: Array, raw: ArrayInput) -> tuple[Array, bool]:
    ranks = len(raw.shape)
    one = array.shape[array.ndim - ranks :]
    if array.ndim not in (ranks, ranks + 1) or not array.size:
        raise _unlike(array, raw)
    if any(wanted not in (-1, size) for size, wanted in zip(one, raw.shape, strict=True)):
        raise _unlike(array, raw)
    return _batch(_as_type(array, np.dtype(raw.dtype), raw), ranks)


_ARRANGED: Final[dict[type, Callable[[Array, Any], tuple[Array, bool]]]] = {
    PictureInput: _picture,
    AudioInput: _sound,
    ArrayInput: _values,
}


def _batch(array: Array, ranks: int) -> tuple[Array, bool]:
    return (array, True) if array.ndim > ranks else (array[np.newaxis], False)


def _as_type(array: Array, dtype: np.dtype[Any], raw: Raw, hint: str = "") -> Array:
    """In the type if no value is lost; from JSON come int64 and float64."""
    if array.dtype != dtype:
        if array.dtype.kind not in ("fiu" if dtype.kind == "f" else "iu"):
            raise _unlike(array, raw, hint)
        if dtype.kind != "f":
            bounds = np.iinfo(dtype)
            low, high = int(array.min()), int(array.max())
            if low < bounds.min or high > bounds.max:
                raise BadInput(f"the input holds values from {low} to {high}", hint=f"give {describe(raw)}")
        with np.errstate(over="ignore"):  # becomes infinite, and is refused below
            array = array.astype(dtype)
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise BadInput("the input holds values that are no finite numbers", hint=f"give {describe(raw)}")
    return array


def _unlike(array: Array, raw: Raw, hint: str = "") -> BadInput:
    given = f"{array.dtype} of shape {list(array.shape)}"
    return BadInput(f"the input is {given}; this model takes {describe(raw)}, or a batch of such", hint=hint)


def split(x: Any, names: Sequence[str]) -> Sequence[Any]:
    """The inputs in the model's order, from one, a list, or a dict. Raises BadInput."""
    if isinstance(x, dict):
        given = {bare_name(str(name)): value for name, value in x.items()}
        wanted = [bare_name(name) for name in names]
        if set(given) != set(wanted):
            raise BadInput(f"the inputs are {', '.join(given)}", hint=f"name them {', '.join(wanted)}")
        return [given[name] for name in wanted]
    if len(names) == 1:
        return [x]
    if not isinstance(x, Sequence) or len(x) != len(names):
        raise BadInput(f"the model takes {len(names)} inputs", hint="give a list of arrays, one for each")
    return x
