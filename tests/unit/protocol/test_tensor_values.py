"""Stored and real numbers of quantized tensors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.messages.contract import Tensor
from protocol.tensor_values import array_type, dequantize, quantize, real_values

SCALES = st.floats(2**-20, 1024.0, width=32)


@given(st.sampled_from(["uint8", "int8"]), SCALES, st.integers(0, 100), st.data())
def test_a_stored_value_comes_back_from_its_real_number(
    dtype: str, scale: float, zero_point: int, data: st.DataObject
) -> None:
    bounds = np.iinfo(dtype)
    values = data.draw(st.lists(st.integers(int(bounds.min), int(bounds.max)), max_size=8))
    stored = np.array(values, dtype)
    real = dequantize(stored, scale, zero_point)
    assert real.dtype == np.float32
    assert np.array_equal(quantize(real, scale, zero_point, np.dtype(dtype)), stored)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32"])  # what TensorFlow Lite quantizes to
def test_what_is_beyond_the_range_becomes_its_end(dtype: str) -> None:
    bounds = np.iinfo(dtype)
    ends = quantize([-1e30, 1e30], 0.5, 3, np.dtype(dtype))
    assert ends[0] == bounds.min
    assert ends[1] == bounds.max


def test_halves_go_to_the_even_neighbour() -> None:
    assert quantize([0.5, 1.5, 2.5, -0.5], 1.0, 0, np.dtype("int8")).tolist() == [0, 2, 2, 0]


def test_real_values_are_the_arrays_themselves_where_nothing_is_quantized() -> None:
    array = np.array([1, 2], np.int64)
    assert real_values(array, Tensor(name="x", shape=(1, 2), dtype="int64")) is array
    texts = np.array([b"a"], object)
    assert real_values(texts, Tensor(name="x", shape=(1, 1), dtype="string")) is texts
    assert array_type("string").kind == "O"


def test_rows_of_unlike_sizes_become_real_one_by_one() -> None:
    ragged = np.empty(2, object)
    ragged[:] = [np.array([], np.uint8), np.array([2, 4], np.uint8)]
    tensor = Tensor(name="x", shape=(-1,), dtype="uint8", scale=0.5, zero_point=2)
    assert [row.tolist() for row in real_values(ragged, tensor)] == [[], [0.0, 1.0]]
