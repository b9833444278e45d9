"""Resizing, cropping and colours, against plain definitions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from protocol.errors import BadInput
from protocol.preprocessing import pictures

Array = NDArray[Any]
sides = st.integers(1, 40)
antialiased = st.booleans()


@st.composite
def some_picture(draw: st.DrawFn) -> Array:
    return draw(arrays(np.uint8, (draw(sides), draw(sides), draw(st.sampled_from((1, 3))))))


def exactly(line: list[int], wanted: int, *, antialias: bool) -> list[Fraction]:
    """One line resized in exact fractions, by the definition."""
    given = len(line)
    reach = max(Fraction(given, wanted), Fraction(1)) if antialias else Fraction(1)
    made = []
    for at in range(wanted):
        centre = (at + Fraction(1, 2)) * given / wanted
        weights = [max(Fraction(0), 1 - abs(pixel + Fraction(1, 2) - centre) / reach) for pixel in range(given)]
        total = sum((w * v for w, v in zip(weights, line, strict=True)), Fraction(0))
        made.append(total / sum(weights, Fraction(0)))
    return made


@given(some_picture(), antialiased)
def test_a_picture_of_the_wanted_size_does_not_change(picture: Array, antialias: bool) -> None:
    height, width = picture.shape[:2]
    assert pictures.resize_bilinear(picture, width, height, antialias=antialias) is picture
    np.testing.assert_array_equal(pictures.resize_nearest(picture, width, height), picture)


@given(some_picture(), sides, sides, antialiased)
def test_levels_stay_between_the_darkest_and_the_brightest(
    picture: Array, width: int, height: int, antialias: bool
) -> None:
    made = pictures.resize_bilinear(picture, width, height, antialias=antialias)
    assert made.shape == (height, width, picture.shape[2])
    assert made.dtype == np.uint8
    assert picture.min() <= made.min()
    assert made.max() <= picture.max()


@given(st.integers(0, 255), sides, sides, sides, sides, antialiased)
def test_one_level_stays_that_level(
    level: int, height: int, width: int, rows: int, columns: int, antialias: bool
) -> None:
    made = pictures.resize_bilinear(np.full((height, width, 3), level, np.uint8), columns, rows, antialias=antialias)
    assert (made == level).all()


@given(arrays(np.uint8, st.tuples(sides, st.just(1), st.just(1))), sides, antialiased)
def test_bilinear_is_within_a_hair_of_the_exact_weights(column: Array, wanted: int, antialias: bool) -> None:
    made = pictures.resize_bilinear(column, 1, wanted, antialias=antialias)
    exact = exactly(column.ravel().tolist(), wanted, antialias=antialias)
    assert all(abs(int(got) - want) < 0.55 for got, want in zip(made.ravel(), exact, strict=True))


@given(some_picture(), sides, sides)
def test_nearest_only_copies_pixels(picture: Array, width: int, height: int) -> None:
    made = pictures.resize_nearest(picture, width, height)
    assert {tuple(pixel) for pixel in made.reshape(-1, picture.shape[2])} <= {
        tuple(pixel) for pixel in picture.reshape(-1, picture.shape[2])
    }


@pytest.mark.parametrize("antialias", [False, True])
def test_rows_and_columns_are_treated_alike(antialias: bool) -> None:
    picture = np.random.default_rng(3).integers(0, 256, (37, 37, 1), dtype=np.uint8)
    made = pictures.resize_bilinear(picture, 11, 11, antialias=antialias).astype(int)
    turned = pictures.resize_bilinear(picture.transpose(1, 0, 2), 11, 11, antialias=antialias).astype(int)
    assert np.abs(made - turned.transpose(1, 0, 2)).max() <= 1


def test_a_crop_is_the_middle_or_a_box() -> None:
    picture = np.arange(7 * 9, dtype=np.uint8).reshape(7, 9, 1)
    np.testing.assert_array_equal(pictures.crop(picture, 3, 5, None, None), picture[1:6, 3:6])
    np.testing.assert_array_equal(pictures.crop(picture, 3, 5, 6, 2), picture[2:7, 6:9])


@pytest.mark.parametrize("box", [(10, 3, None, None), (3, 3, 7, 0), (3, 3, 0, 5)])
def test_a_crop_outside_of_the_picture_is_refused(box: tuple[int, int, int | None, int | None]) -> None:
    with pytest.raises(BadInput, match="has no part"):
        pictures.crop(np.zeros((7, 9, 3), np.uint8), *box)


def test_colours_go_to_another_order_and_back() -> None:
    picture = np.random.default_rng(4).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    turned = pictures.reorder(picture, "RGB", "BGR")
    np.testing.assert_array_equal(turned, picture[..., ::-1])
    np.testing.assert_array_equal(pictures.reorder(turned, "BGR", "RGB"), picture)
    np.testing.assert_array_equal(pictures.reorder(picture, "RGB", "grey"), pictures.reorder(turned, "BGR", "grey"))


def test_grey_is_weighted_as_people_see_it() -> None:
    pure = np.eye(3, dtype=np.uint8).reshape(1, 3, 3) * 255
    assert pictures.reorder(pure, "RGB", "grey").ravel().tolist() == [76, 150, 29]
    white = np.full((1, 1, 3), 255, np.uint8)
    assert pictures.reorder(white, "RGB", "grey").item() == 255
    assert pictures.reorder(np.full((1, 1, 1), 9, np.uint8), "grey", "BGR").ravel().tolist() == [9, 9, 9]
