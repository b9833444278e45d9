"""What an application gives is the contract of a version with a preprocessing."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.errors import ContractDiffers
from protocol.messages.contract import Contract, Tensor
from protocol.messages.preprocessing import Preprocessing
from protocol.preprocessing.raw_contract import changes, check_raw_successor

SMALL = {"step": "resize", "width": 96, "height": 96}
LARGE = {"step": "resize", "width": 128, "height": 128}


def a_contract(side: int = 96, *, dtype: str = "uint8", classes: int = 5) -> Contract:
    tensor = Tensor(name="image", shape=(1, side, side, 3), dtype=dtype)
    return Contract(inputs=(tensor,), outputs=(Tensor(name="scores", shape=(1, classes)),))


def of(*steps: dict[str, Any], order: str = "RGB") -> Preprocessing:
    return Preprocessing.model_validate({"inputs": [{"raw": {"kind": "picture", "order": order}, "steps": steps}]})


def test_the_size_that_a_model_takes_may_change_behind_the_same_raw_picture() -> None:
    check_raw_successor((a_contract(96), of(SMALL)), (a_contract(128), of(LARGE)))


def test_a_preprocessing_may_take_over_what_an_application_gave_as_uint8() -> None:
    check_raw_successor((a_contract(96), None), (a_contract(128), of(LARGE)))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((a_contract(), of(SMALL)), (a_contract(), of(SMALL, order="BGR"))),
        ((a_contract(), of(SMALL)), (a_contract(), None)),
        ((a_contract(dtype="float32"), None), (a_contract(), of(SMALL))),
        ((a_contract(), None), (a_contract(), of(SMALL, order="BGR"))),
        ((a_contract(), of(SMALL)), (a_contract(classes=6), of(SMALL))),
        ((a_contract(96), None), (a_contract(128), None)),
    ],
)
def test_what_would_break_an_application_is_refused(
    before: tuple[Contract, Preprocessing | None], after: tuple[Contract, Preprocessing | None]
) -> None:
    with pytest.raises(ContractDiffers):
        check_raw_successor(before, after)


def test_a_change_of_steps_is_told_with_both() -> None:
    (told,) = changes(of(SMALL), of(LARGE))
    assert "width=128" in told
    assert "before resize(width=96" in told
    assert changes(of(SMALL), of(SMALL)) == ()
    assert "before nothing" in changes(None, of(SMALL))[0]
