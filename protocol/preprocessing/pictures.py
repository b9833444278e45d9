"""Steps on uint8 pictures (height, width, channels), in integers throughout."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protocol.errors import BadInput

Array = NDArray[Any]
WEIGHT_BITS: Final = 14  # of a bilinear weight: 8 + 8 + 14 bits fit an int32
KEPT_BITS: Final = 8  # after the point, between the vertical and the horizontal pass
GREY_WEIGHTS: Final = (19_595, 38_470, 7_471)  # of red, green, blue, in 65,536ths: ITU-R BT.601


def resize_nearest(picture: Array, width: int, height: int) -> Array:
    """Each output pixel is the input pixel that holds its centre."""
    rows, columns = _nearest(picture.shape[0], height), _nearest(picture.shape[1], width)
    return picture.take(rows, axis=0).take(columns, axis=1)


def resize_bilinear(picture: Array, width: int, height: int, *, antialias: bool) -> Array:
    """Weighted rows, kept to 1/256 of a level, then columns, rounded half up."""
    if picture.shape[:2] == (height, width):
        return picture
    columns = _taps(picture.shape[1], width, antialias)
    picture = picture.take(columns.used, axis=1)  # no row pass over columns that no output pixel needs
    mixed = _blend(picture, *_taps(picture.shape[0], height, antialias).whole, axis=0)
    mixed = (mixed + (1 << (WEIGHT_BITS - KEPT_BITS - 1))) >> (WEIGHT_BITS - KEPT_BITS)
    mixed = _blend(mixed, columns.places, columns.weights, axis=1)
    bits = WEIGHT_BITS + KEPT_BITS
    return ((mixed + (1 << (bits - 1))) >> bits).astype(np.uint8)


def crop(picture: Array, width: int, height: int, left: int | None, top: int | None) -> Array:
    """A view of a part, by default of the middle. Raises BadInput if it is larger."""
    rows, columns = picture.shape[:2]
    left = (columns - width) // 2 if left is None else left
    top = (rows - height) // 2 if top is None else top
    if left < 0 or top < 0 or left + width > columns or top + height > rows:
        raise BadInput(
            f"a picture of {columns} x {rows} pixels has no part of {width} x {height} at {left}, {top}",
            hint="give a larger picture",
        )
    part: Array = picture[top : top + height, left : left + width]
    return part


def reorder(picture: Array, given: str, wanted: str) -> Array:
    """Channels in another order: RGB, BGR or grey."""
    if given == wanted:
        return picture
    if given == "grey":
        return np.repeat(picture, 3, axis=2)
    if wanted == "grey":
        return _grey(picture if given == "RGB" else picture[..., ::-1])
    return picture[..., ::-1]


def _grey(picture: Array) -> Array:
    red, green, blue = (picture[..., at : at + 1].astype(np.int32) for at in range(3))
    total = red * GREY_WEIGHTS[0] + green * GREY_WEIGHTS[1] + blue * GREY_WEIGHTS[2]
    grey: Array = ((total + 32_768) >> 16).astype(np.uint8)
    return grey


def _blend(lines: Array, indexes: Array, weights: Array, axis: int) -> Array:
    """Weighted rows (axis 0) or columns (axis 1), in int32."""
    beside = (slice(None), np.newaxis, np.newaxis) if axis == 0 else (slice(None), np.newaxis)
    total: Array = lines.take(indexes[:, 0], axis=axis) * weights[:, 0][beside]
    for tap in range(1, indexes.shape[1]):
        total += lines.take(indexes[:, tap], axis=axis) * weights[:, tap][beside]
    return total


@functools.lru_cache(64)
def _nearest(given: int, wanted: int) -> Array:
    lines: Array = (2 * np.arange(wanted, dtype=np.int64) + 1) * given // (2 * wanted)
    return lines


@dataclass(frozen=True, slots=True, eq=False)
class _Taps:
    """For each output line its input lines (wanted, taps), and their int32 weights.

    `used` are the input lines that any output line needs, `places` the indexes in them.
    """

    indexes: Array
    weights: Array
    used: Array
    places: Array

    @property
    def whole(self) -> tuple[Array, Array]:
        return self.indexes, self.weights


@functools.lru_cache(64)
def _taps(given: int, wanted: int, antialias: bool) -> _Taps:
    """The taps from `given` to `wanted` lines.

    With distances in units of 1 / (2 * wanted) of a line, all numbers are whole. The
    weights of a line sum to `1 << WEIGHT_BITS`: each is a difference of rounded sums.
    """
    reach = 2 * max(given, wanted) if antialias else 2 * wanted
    centre = (2 * np.arange(wanted, dtype=np.int64) + 1) * given
    first = (centre - reach) // (2 * wanted)
    lines = first[:, np.newaxis] + np.arange(reach // wanted + 2)
    distance = np.abs((2 * lines + 1) * wanted - centre[:, np.newaxis])
    weight = np.maximum(reach - distance, 0) * ((lines >= 0) & (lines < given))
    summed = np.cumsum(weight, axis=1)
    total = summed[:, -1:]
    weights = np.diff((2 * (summed << WEIGHT_BITS) + total) // (2 * total), axis=1, prepend=0)
    some = weights.any(axis=0)
    indexes, weights = np.clip(lines, 0, given - 1)[:, some], weights[:, some].astype(np.int32)
    used = np.unique(indexes)
    return _Taps(indexes, weights, used, np.searchsorted(used, indexes))
