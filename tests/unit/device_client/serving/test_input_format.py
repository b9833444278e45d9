"""Inputs of an application are converted without loss, or refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from device_client.serving.input_format import InputFormat
from protocol.errors import BadInput
from protocol.messages.contract import Contract, Tensor

OUTPUT = Tensor(name="o", shape=(1, 2), dtype="float32")


def a_form(*dtypes: str) -> InputFormat:
    inputs = tuple(Tensor(name=f"i{at}", shape=(1, 2), dtype=dtype) for at, dtype in enumerate(dtypes))
    return InputFormat(Contract(inputs=inputs, outputs=(OUTPUT,)))


BEYOND: list[tuple[str, Any, str]] = [
    ("int32", 2**40 + 7, "1099511627783, .*int32 .*-2147483648 .*2147483647"),
    ("int32", -(2**31) - 1, "-2147483649, .*int32"),
    ("uint8", 300, "300, .*uint8 .*0 .*255"),
    ("uint8", -1, "-1, .*uint8"),
    ("int8", 128, "128, .*int8 .*-128 .*127"),
    ("int64", np.uint64(2**64 - 1), "18446744073709551615, .*int64"),
]


@pytest.mark.parametrize(("dtype", "value", "message"), BEYOND)
def test_a_whole_number_that_does_not_fit_is_refused_not_wrapped(dtype: str, value: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message) as refused:
        a_form(dtype).arrange(np.full(2, value))
    assert f"{dtype} of shape (2,)" in str(refused.value)


@pytest.mark.parametrize(
    ("dtype", "least", "most"), [("int32", -(2**31), 2**31 - 1), ("uint8", 0, 255), ("int8", -128, 127)]
)
def test_a_whole_number_that_fits_arrives_as_it_is(dtype: str, least: int, most: int) -> None:
    ((array,), batched) = a_form(dtype).arrange(np.array([[least, most]], dtype=np.int64))
    assert (array.dtype, array.tolist(), batched) == (np.dtype(dtype), [[least, most]], True)


class Stubborn:
    """A library's own type, which may raise when converted to an array."""

    def __array__(self, *_: object, **__: object) -> np.ndarray[Any, Any]:
        raise RuntimeError("the tensor lives on another device")


def test_an_input_that_gives_no_array_is_named() -> None:
    anything: Any = Stubborn()
    with pytest.raises(BadInput, match="RuntimeError: the tensor lives on another device"):
        a_form("float32").arrange(anything)
    with pytest.raises(BadInput, match=r"input 1 .*another device"):
        a_form("float32", "float32").arrange([np.zeros(2), anything])
