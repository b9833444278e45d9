"""Frames, spectrum, mel bands and logarithm, against numpy's own functions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.preprocessing import sounds, tables


@pytest.mark.parametrize("size", [8, 64, 512, 2048])
def test_the_spectrum_is_the_fourier_transform(size: int) -> None:
    frames = np.random.default_rng(size).normal(size=(3, size - 3)).astype(np.float32)
    real, imaginary = sounds.spectrum(frames, size)
    expected = np.fft.rfft(frames, size)
    np.testing.assert_allclose(real, expected.real, atol=1e-11 * size)
    np.testing.assert_allclose(imaginary, expected.imag, atol=1e-11 * size)


@given(st.floats(1e-300, 1e300))
def test_the_logarithm_is_right_to_the_last_digits(x: float) -> None:
    (got,) = sounds.logarithm(np.array([x]))
    assert got == pytest.approx(math.log(x), rel=1e-15, abs=1e-15)


@pytest.mark.parametrize(("function", "base"), [("hann", 0.5), ("hamming", 0.54)])
def test_windows_are_periodic(function: str, base: float) -> None:
    expected = base - (1 - base) * np.cos(2 * np.pi * np.arange(480) / 480)
    np.testing.assert_allclose(tables.window(function, 480), expected, atol=1e-7)


def test_frames_begin_at_every_hop_and_a_last_part_is_left_out() -> None:
    frames = sounds.frames_of(np.arange(11, dtype=np.float32), 4, 3, "none")
    assert frames.tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]


def test_mel_bands_are_triangles_that_share_their_edges() -> None:
    indexes, weights = tables.mel_filters(20, 512, 16_000, 100.0, 7_000.0)
    dense = np.zeros((20, 257))
    for band in range(20):
        np.add.at(dense[band], indexes[band], weights[band])
    between = dense[:, dense[1:-1].argmax(axis=1).min() : dense[1:-1].argmax(axis=1).max()].sum(axis=0)
    np.testing.assert_allclose(between, 1.0, atol=1e-9)
    assert (np.diff(dense.argmax(axis=1)) > 0).all()


def test_a_tone_is_loudest_in_its_band() -> None:
    time_s = np.arange(480) / 16_000
    filters = sounds.filters_of(40, 512, 16_000, 0.0, 8_000.0)
    loudest = [
        int(
            sounds.mel_energies(
                np.sin(2 * np.pi * hz * time_s)[np.newaxis].astype(np.float32), filters, 512, magnitude=False
            ).argmax()
        )
        for hz in (300, 1_000, 3_000)
    ]
    mel = [2595 * math.log10(1 + hz / 700) for hz in (300, 1_000, 3_000)]
    step = 2595 * math.log10(1 + 8_000 / 700) / 41
    assert loudest == [round(each / step) - 1 for each in mel]
