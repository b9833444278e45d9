"""Bins of graded figures lose nothing of a test's guarantee."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_client.core.trial.bins import ONE, at_least, at_most, bin_of, bins_of, less_than_one, mean, merged, total

FIGURES = st.floats(-1.0, 1.0, allow_nan=False)


@given(FIGURES)
def test_a_figure_lies_within_the_edges_of_its_bin_and_near_both(figure: float) -> None:
    bins = ((bin_of(figure), 1),)
    low, high = at_least(bins, -1.0, 1.0).values[1], at_most(bins, -1.0, 1.0).values[1]
    assert low - 1e-12 <= figure <= high + 1e-12
    assert high - low <= 0.01 + 1e-12


@pytest.mark.parametrize("figure", [-1.0, -0.5, 0.0, 0.25, 1.0])
def test_right_and_wrong_are_exact(figure: float) -> None:
    bins = ((bin_of(figure), 3),)
    assert at_least(bins, -1.0, 1.0) == at_most(bins, -1.0, 1.0)
    assert (mean(bins), total(bins)) == (figure, 3)


@given(st.lists(st.floats(0.0, 1.0), max_size=30))
def test_what_is_unlike_is_one_less_what_is_alike(figures: list[float]) -> None:
    alike = merged(*([(bin_of(each), 1)] for each in figures))
    unlike = less_than_one(alike)
    assert total(unlike) == len(figures)
    assert [at for at, _ in unlike] == sorted(at for at, _ in unlike)
    assert mean(unlike) == pytest.approx(1.0 - mean(alike) if figures else 0.0)
    assert less_than_one(unlike) == alike


def test_bins_that_count_nothing_are_left_out() -> None:
    assert bins_of({ONE: 2, 0: 0}) == ((ONE, 2),)
    assert (mean(()), total(())) == (0.0, 0)
