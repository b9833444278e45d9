"""What further training keeps: zeros, clusters, and the ends of ranges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from publisher.learning.compression.weight_constraints import constraints_of
from publisher.learning.data.dataset import Floats


def a_kernel(*rows: tuple[float, ...]) -> Floats:
    return np.array(rows, np.float32)


def moved(kernel: Floats, seed: int, by: float = 0.2) -> Floats:
    return (kernel + np.random.default_rng(seed).normal(0, by, kernel.shape)).astype(np.float32)


def test_what_was_pruned_stays_pruned_and_the_rest_is_free() -> None:
    before = a_kernel((0.0, 0.5), (-0.25, 0.0))
    after = constraints_of(before, zeros=True, clusters=False, ranges=False).apply(a_kernel((0.1, 9.0), (-0.5, 0.2)))
    assert after.tolist() == [[0.0, 9.0], [-0.5, 0.0]]
    assert after.dtype == np.float32


def test_weights_of_one_value_move_together() -> None:
    before = a_kernel((1.0, 1.0), (-1.0, 1.0))
    after = constraints_of(before, zeros=False, clusters=True, ranges=False).apply(a_kernel((1.25, 1.5), (-2.0, 1.75)))
    assert after.tolist() == [[1.5, 1.5], [-2.0, 1.5]]


def test_the_mean_of_many_equal_weights_is_their_value() -> None:
    before = np.full((1_000, 300), 0.1, np.float32)
    before[:, ::2] = -0.3
    after = constraints_of(before, zeros=False, clusters=True, ranges=False).apply(before)
    assert (after == before).all()


def test_the_largest_weight_stays_and_no_other_becomes_larger() -> None:
    before = a_kernel((0.5, -1.0), (0.25, 0.75))
    after = constraints_of(before, zeros=False, clusters=False, ranges=True).apply(a_kernel((3.0, -0.2), (0.3, -4.0)))
    assert after.ravel().tolist() == pytest.approx([1.0, -1.0, 0.3, -1.0])


def test_each_channel_of_a_convolution_has_a_range_of_its_own() -> None:
    before = np.array([[[[1.0, 0.1]], [[0.5, 0.05]]]], np.float32)  # (1, 2, 1, 2)
    after = constraints_of(before, zeros=False, clusters=False, ranges=True).apply(before * 3)
    assert after.ravel().tolist() == pytest.approx([1.0, 0.1, 1.0, 0.1])


@given(st.integers(0, 1_000), st.booleans(), st.booleans())
def test_no_training_brings_back_a_zero_a_value_or_a_wider_range(seed: int, ranges: bool, convolution: bool) -> None:
    rng = np.random.default_rng(seed)
    shape = (3, 3, 4, 5) if convolution else (16, 5)
    kernel = rng.choice(np.array([-1.0, -0.5, 0.0, 0.25, 0.75], np.float32), shape)
    after = kernel
    for step in range(3):
        pattern = constraints_of(after, zeros=True, clusters=True, ranges=ranges)
        after = pattern.apply(moved(after, seed + step))
    assert ((after == 0) | (kernel != 0)).all()
    assert all(len(np.unique(after[kernel == value])) <= 1 for value in np.unique(kernel))
    if ranges:
        axes = tuple(range(kernel.ndim - 1))
        assert (np.abs(after).max(axis=axes) == np.abs(kernel).max(axis=axes)).all()
