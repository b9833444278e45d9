"""The records of a preprocessing, and what a reader does with newer ones."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from protocol.messages.preprocessing import DeclaredPreprocessing, NewerPreprocessing, Preprocessing, unknown_part

ADAPTER: TypeAdapter[Any] = TypeAdapter(DeclaredPreprocessing)
PICTURE = {"kind": "picture"}
RESIZE = {"step": "resize", "width": 6, "height": 4}


def declared(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"inputs": [{"raw": PICTURE, "steps": list(steps)}]}


def test_a_known_preprocessing_is_read_as_it_was_written() -> None:
    read = ADAPTER.validate_python(declared(RESIZE, {"step": "scale", "factor": 0.1}))
    assert isinstance(read, Preprocessing)
    assert ADAPTER.validate_json(ADAPTER.dump_json(read)) == read


@pytest.mark.parametrize(
    ("newer", "unknown"),
    [
        (declared(RESIZE, {"step": "rotate", "degrees": 90}), "rotate"),
        (declared({**RESIZE, "method": "bicubic"}), "a newer form"),
        (declared({**RESIZE, "corners": True}), "a newer form"),
        ({"inputs": [{"raw": {"kind": "video"}}]}, "a newer form"),
        ({**declared(RESIZE), "later": 1}, "a newer form"),
        ({"graph": []}, "a newer form"),
    ],
)
def test_what_is_not_wholly_known_is_kept_and_named(newer: dict[str, Any], unknown: str) -> None:
    read = ADAPTER.validate_python(newer)
    assert isinstance(read, NewerPreprocessing)
    assert unknown in unknown_part(read)
    assert ADAPTER.dump_python(read, mode="json") == newer


@pytest.mark.parametrize(
    "step",
    [
        {**RESIZE, "width": 0},
        {**RESIZE, "width": 20_000},
        {**RESIZE, "method": "nearest", "antialias": True},
        {"step": "crop", "width": 2, "height": 2, "left": 1},
        {"step": "normalize", "std": [0.0]},
        {"step": "scale", "factor": float("nan")},
        {"step": "mel", "bins": 4, "fft_size": 500},
        {"step": "mel", "bins": 4, "fft_size": 512, "floor": 0},
    ],
)
def test_a_step_that_cannot_be_is_refused_where_it_is_made(step: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Preprocessing.model_validate(declared(step))


def test_steps_need_to_know_what_they_begin_with() -> None:
    with pytest.raises(ValidationError, match="raw"):
        Preprocessing.model_validate({"inputs": [{"steps": [RESIZE]}]})
