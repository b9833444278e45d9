"""Tables for sounds, computed in decimal arithmetic: the same on every machine."""

from __future__ import annotations

import functools
from decimal import Context, Decimal, localcontext
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
DIGITS: Final = 60
PI: Final = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
HTK_HZ: Final = 700  # mel(f) is proportional to ln(1 + f / 700)
HAMMING: Final = Decimal("0.54")
HANN: Final = Decimal("0.5")


@functools.lru_cache(16)
def window(function: str, length: int) -> Array:
    """A periodic window (length,) float32."""
    base = {"hann": HANN, "hamming": HAMMING}.get(function)
    if base is None:
        return np.ones(length, np.float32)
    with localcontext(Context(prec=DIGITS)):
        return np.array([float(base - (1 - base) * each) for each in cosines(length)], np.float32)


@functools.lru_cache(8)
def twiddles(size: int) -> tuple[Array, Array]:
    """cos and -sin of 2 pi k / size for k under size / 2; `size` is a power of two."""
    turn = cosines(size)
    half = size // 2
    real = np.array([float(each) for each in turn[:half]])
    imaginary = np.array([float(turn[(at + size // 4) % size]) for at in range(half)])
    return real, imaginary


def cosines(size: int) -> list[Decimal]:
    """cos(2 pi k / size) for k under `size`, each from the two before it."""
    with localcontext(Context(prec=DIGITS)):
        step = _cosine(2 * PI / size)
        turn = [Decimal(1), step]
        while len(turn) < size:
            turn.append(2 * step * turn[-1] - turn[-2])
    return turn[:size]


def mel_filters(bins: int, fft_size: int, sample_rate_hz: int, low_hz: float, high_hz: float) -> tuple[Array, Array]:
    """Of each band: lines of the spectrum (bins, taps), and their float64 weights.

    Unused taps have the weight 0; a band with no line has only such.
    """
    with localcontext(Context(prec=DIGITS)):
        edges = _band_edges(bins, Decimal(low_hz), Decimal(high_hz))
        lines = [Decimal(line) * sample_rate_hz / fft_size for line in range(fft_size // 2 + 1)]
        bands = [_band(lines, *edges[band : band + 3]) for band in range(bins)]
    taps = max(1, *(len(band) for band in bands))
    indexes, weights = np.zeros((bins, taps), np.int64), np.zeros((bins, taps), np.float64)
    for row, band in enumerate(bands):
        for tap, (line, weight) in enumerate(band):
            indexes[row, tap], weights[row, tap] = line, weight
    return indexes, weights


def _band(lines: list[Decimal], low: Decimal, middle: Decimal, high: Decimal) -> list[tuple[int, float]]:
    return [
        (index, float(min((line - low) / (middle - low), (high - line) / (high - middle))))
        for index, line in enumerate(lines)
        if low < line < high
    ]


def _band_edges(bins: int, low_hz: Decimal, high_hz: Decimal) -> list[Decimal]:
    low, high = ((1 + edge / HTK_HZ).ln() for edge in (low_hz, high_hz))
    return [HTK_HZ * ((low + (high - low) * at / (bins + 1)).exp() - 1) for at in range(bins + 2)]


def _cosine(angle: Decimal) -> Decimal:
    """The Taylor series, until a term no longer changes the sum."""
    term, total, power = Decimal(1), Decimal(0), 0
    while total + term != total:
        total += term
        power += 2
        term *= -angle * angle / (power * (power - 1))
    return total
