"""Steps on sounds: frames, spectrum, mel bands, logarithm."""

from __future__ import annotations

import functools
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protocol.preprocessing.numbers import flushed
from protocol.preprocessing.tables import mel_filters, twiddles, window

Array = NDArray[Any]
LN_2: Final = 0.6931471805599453
ROOT_HALF: Final = 0.7071067811865476
SERIES: Final = tuple(1.0 / odd for odd in range(19, 0, -2))  # of atanh, to 2 ulp where |z| < 0.172


def frames_of(sound: Array, length: int, hop: int, function: str) -> Array:
    """Frames (frames, length) float32 of a sound (samples,) float32."""
    starts = np.arange(0, len(sound) - length + 1, hop)
    cut: Array = sound[starts[:, np.newaxis] + np.arange(length)]
    return cut if function == "none" else flushed(cut * window(function, length))


def mel_energies(frames: Array, filters: tuple[Array, Array], fft_size: int, *, magnitude: bool) -> Array:
    """Energies (frames, bins) float64, each summed from its lowest line upwards."""
    real, imaginary = spectrum(frames, fft_size)
    lines = real * real + imaginary * imaginary
    if magnitude:
        lines = np.sqrt(lines)
    indexes, weights = filters
    total: Array = lines[:, indexes[:, 0]] * weights[:, 0]
    for tap in range(1, indexes.shape[1]):
        total = total + lines[:, indexes[:, tap]] * weights[:, tap]
    return total


def spectrum(frames: Array, size: int) -> tuple[Array, Array]:
    """Real and imaginary parts (frames, size / 2 + 1) of each frame's spectrum.

    A radix-2 FFT of real operations: numpy's complex product fuses a product with a sum
    where the processor can.
    """
    real, imaginary = np.zeros((len(frames), size)), np.zeros((len(frames), size))
    real[:, : frames.shape[1]] = frames
    order = _bit_reversed(size)
    real, imaginary = real[:, order], imaginary[:, order]
    cosine, minus_sine = twiddles(size)
    half = 1
    while half < size:
        every = size // (2 * half)
        real, imaginary = _butterflies(real, imaginary, cosine[::every], minus_sine[::every], half)
        half *= 2
    return real[:, : size // 2 + 1], imaginary[:, : size // 2 + 1]


def logarithm(x: Array) -> Array:
    """The natural logarithm of positive float64 numbers, to about 2 ulp."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < ROOT_HALF
    mantissa = np.where(small, mantissa * 2.0, mantissa)
    exponent = np.where(small, exponent - 1, exponent)
    z = (mantissa - 1.0) / (mantissa + 1.0)
    square, series = z * z, np.full(x.shape, SERIES[0])
    for term in SERIES[1:]:
        series = series * square + term
    found: Array = exponent * LN_2 + 2.0 * (z * series)
    return found


@functools.lru_cache(16)
def filters_of(bins: int, fft_size: int, sample_rate_hz: int, low_hz: float, high_hz: float) -> tuple[Array, Array]:
    return mel_filters(bins, fft_size, sample_rate_hz, low_hz, high_hz)


def _butterflies(real: Array, imaginary: Array, cosine: Array, minus_sine: Array, half: int) -> tuple[Array, Array]:
    """One stage: pairs at a distance of `half` become their sum and difference."""
    shape = (len(real), -1, 2, half)
    real, imaginary = real.reshape(shape), imaginary.reshape(shape)
    upper_real, upper_imaginary = real[:, :, 1], imaginary[:, :, 1]
    turned_real: Array = upper_real * cosine - upper_imaginary * minus_sine
    turned_imaginary: Array = upper_real * minus_sine + upper_imaginary * cosine
    made_real, made_imaginary = np.empty_like(real), np.empty_like(imaginary)
    made_real[:, :, 0], made_real[:, :, 1] = real[:, :, 0] + turned_real, real[:, :, 0] - turned_real
    made_imaginary[:, :, 0] = imaginary[:, :, 0] + turned_imaginary
    made_imaginary[:, :, 1] = imaginary[:, :, 0] - turned_imaginary
    return made_real.reshape(len(real), -1), made_imaginary.reshape(len(real), -1)


@functools.lru_cache(8)
def _bit_reversed(size: int) -> Array:
    bits = size.bit_length() - 1
    places, reversed_ = np.arange(size), np.zeros(size, np.int64)
    for bit in range(bits):
        reversed_ |= ((places >> bit) & 1) << (bits - 1 - bit)
    return reversed_
