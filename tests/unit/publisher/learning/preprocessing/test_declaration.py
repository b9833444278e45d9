"""A preprocessing from a file, a recipe's values, or a model's metadata."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import BadInput
from protocol.messages.contract import Contract, Tensor
from protocol.messages.preprocessing import PictureInput
from protocol.preprocessing.preprocessor import Preprocessor
from publisher.learning.data.raw_samples import random_raw
from publisher.learning.measurement.litert_metadata import ModelMetadata, TensorDescription
from publisher.learning.preprocessing.declaration import preprocessing_from, read_preprocessing
from publisher.learning.preprocessing.preparation import prepare
from publisher.learning.preprocessing.proposal import propose

TOML = """
raw = { kind = "picture" }
[[steps]]
step = "resize"
width = 96
height = 96
[[steps]]
step = "normalize"
mean = [127.5]
std = [127.5]
"""
JSON = """{"inputs": [{"raw": {"kind": "picture"}, "steps": [{"step": "resize", "width": 96, "height": 96},
 {"step": "normalize", "mean": [127.5], "std": [127.5]}]}]}"""
IMAGE = TensorDescription(content="image", color_space="rgb", mean=(127.5,), std=(127.5,))


def a_contract(*, dtype: str = "float32", channels: int = 3) -> Contract:
    tensor = Tensor(name="image", shape=(1, 96, 96, channels), dtype=dtype)
    return Contract(inputs=(tensor,), outputs=(Tensor(name="scores", shape=(1, 5)),))


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    toml, json = tmp_path / "pre.toml", tmp_path / "pre.json"
    toml.write_text(TOML)
    json.write_text(JSON)
    read = read_preprocessing(toml)
    assert read == read_preprocessing(json)
    assert read.inputs[0].raw == PictureInput()
    assert len(read.inputs[0].steps) == 2


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("pre.toml", "raw = {", "pre.toml cannot be parsed"),
        ("pre.json", "[]", "a preprocessing is a list"),
        ("pre.toml", 'raw = { kind = "picture" }\n[[steps]]\nstep = "rotate"', "no step 'rotate'"),
        ("pre.toml", 'raw = { kind = "picture" }\n[[steps]]\nstep = "resize"\nwidth = 5', "height"),
        ("pre.toml", 'raw = { kind = "picture" }\ncolour = 1', "colour"),
        ("pre.toml", "x" * 100_001, "100001 bytes"),
        ("pre.toml", b"\xff\xfe", "cannot be parsed"),
    ],
)
def test_a_file_that_says_none_is_refused_by_its_name(
    tmp_path: Path, name: str, content: str | bytes, told: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadInput, match=told) as refused:
        read_preprocessing(path)
    assert name in str(refused.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_preprocessing(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("described", "dtype", "channels", "steps"),
    [
        (IMAGE, "float32", 3, ["resize", "normalize"]),
        (replace(IMAGE, mean=(), std=()), "float32", 3, ["resize", "cast"]),
        (IMAGE, "uint8", 3, ["resize"]),
        (IMAGE, "int8", 3, ["resize", "scale", "cast"]),
        (replace(IMAGE, color_space="grayscale"), "uint8", 1, ["resize"]),
    ],
)
def test_metadata_of_a_picture_give_a_preprocessing_that_fits(
    described: TensorDescription, dtype: str, channels: int, steps: list[str]
) -> None:
    contract = a_contract(dtype=dtype, channels=channels)
    found = propose(ModelMetadata(inputs=(described,)), contract)
    assert found is not None
    assert [step.step for step in found[0].inputs[0].steps] == steps
    preprocessor = Preprocessor(found[0], contract)
    (raw,) = random_raw(preprocessor, 2, seed=1)
    assert raw.shape[1:3] != (96, 96)
    (made,) = preprocessor.apply([raw])
    assert (made.shape, made.dtype) == ((2, 96, 96, channels), np.dtype(dtype))


@pytest.mark.parametrize(
    "metadata",
    [
        ModelMetadata(),
        ModelMetadata(inputs=(replace(IMAGE, content="audio"),)),
        ModelMetadata(inputs=(replace(IMAGE, color_space="grayscale"),)),
        ModelMetadata(inputs=(IMAGE, IMAGE)),
    ],
)
def test_metadata_without_such_a_picture_give_none(metadata: ModelMetadata) -> None:
    assert propose(metadata, a_contract()) is None
    assert prepare(None, metadata, a_contract(), "birds.tflite").told == ""
    with pytest.raises(BadInput, match=r"birds\.tflite"):
        prepare("metadata", metadata, a_contract(), "birds.tflite")


def test_what_metadata_would_give_is_told_and_not_done() -> None:
    preparation = prepare(None, ModelMetadata(inputs=(IMAGE,)), a_contract(), "birds.tflite")
    assert preparation.preprocessor is None
    assert "--preprocessing metadata" in preparation.told
    assert "96 x 96" in preparation.told


def test_a_preprocessing_that_does_not_fit_names_the_file() -> None:
    declared = preprocessing_from({"raw": {"kind": "picture"}, "steps": []}, "it")
    with pytest.raises(BadInput, match=r"does not fit birds\.tflite"):
        prepare(declared, ModelMetadata(), a_contract(), "birds.tflite")


def test_random_raw_inputs_of_every_kind_are_always_the_same() -> None:
    sound = {"raw": {"kind": "audio", "sample_rate_hz": 16_000, "samples": 400}}
    array = {"raw": {"kind": "array", "dtype": "int8", "shape": [3]}, "steps": [{"step": "scale"}]}
    contract = Contract(
        inputs=(Tensor(name="sound", shape=(1, 400)), Tensor(name="row", shape=(1, 3))),
        outputs=(Tensor(name="y", shape=(1, 2)),),
    )
    preprocessor = Preprocessor(preprocessing_from({"inputs": [sound, array]}, "it"), contract)
    first, second = (random_raw(preprocessor, 4, seed=1) for _ in range(2))
    for ours, theirs in zip(first, second, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [each.dtype for each in first] == [np.int16, np.int8]
