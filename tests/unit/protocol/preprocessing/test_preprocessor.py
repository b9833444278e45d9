"""From raw inputs to a model's, and what is refused on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import BadInput
from protocol.messages.contract import Contract, Tensor
from protocol.messages.preprocessing import Preprocessing
from protocol.preprocessing import numbers
from protocol.preprocessing.preprocessor import Preprocessor

PICTURE = {"kind": "picture"}
SOUND = {"kind": "audio", "sample_rate_hz": 16_000, "samples": 1_600}
RESIZE = {"step": "resize", "width": 6, "height": 4}


def a_preprocessor(
    raw: dict[str, Any], *steps: dict[str, Any], shape: tuple[int, ...] = (4, 6, 3), dtype: str = "uint8"
) -> Preprocessor:
    declared = Preprocessing.model_validate({"inputs": [{"raw": raw, "steps": steps}]})
    tensor = Tensor(name="x", shape=(1, *shape), dtype=dtype)
    return Preprocessor(declared, Contract(inputs=(tensor,), outputs=(Tensor(name="y", shape=(1, 2)),)))


def test_a_picture_of_any_size_becomes_what_the_model_takes() -> None:
    preprocessor = a_preprocessor(PICTURE, RESIZE, {"step": "scale", "factor": 0.5}, dtype="float32")
    for size in ((4, 6), (9, 5), (1, 1)):
        raw, batched = preprocessor.arrange(np.full((*size, 3), 100, np.uint8))
        (made,) = preprocessor.apply(raw)
        assert not batched
        assert made.shape == (1, 4, 6, 3)
        assert made.dtype == np.float32
        assert (made == 50).all()


def test_a_batch_is_each_of_its_pictures() -> None:
    preprocessor = a_preprocessor(PICTURE, RESIZE)
    batch = np.random.default_rng(0).integers(0, 256, (3, 8, 9, 3), dtype=np.uint8)
    raw, batched = preprocessor.arrange(batch)
    (made,) = preprocessor.apply(raw)
    assert batched
    for at, each in enumerate(batch):
        np.testing.assert_array_equal(made[at : at + 1], preprocessor.apply(preprocessor.arrange(each)[0])[0])


def test_numbers_from_json_count_as_a_picture() -> None:
    preprocessor = a_preprocessor(PICTURE, RESIZE)
    raw, _ = preprocessor.arrange([[[1, 2, 3], [4, 5, 6]]])
    assert raw[0].dtype == np.uint8


def test_a_sound_is_the_same_in_both_types() -> None:
    steps = ({"step": "window", "length": 400, "hop": 200}, {"step": "mel", "bins": 10, "fft_size": 512})
    preprocessor = a_preprocessor(SOUND, *steps, shape=(7, 10, 1), dtype="float32")
    sound = np.random.default_rng(1).integers(-9_000, 9_000, 1_600, dtype=np.int16)
    made = [preprocessor.apply(preprocessor.arrange(each)[0])[0] for each in (sound, sound / np.float32(32_768))]
    np.testing.assert_array_equal(made[0], made[1])
    assert made[0].shape == (1, 7, 10, 1)


def test_a_table_of_numbers_is_normalized_by_column() -> None:
    array = {"kind": "array", "shape": [3]}
    preprocessor = a_preprocessor(
        array, {"step": "normalize", "mean": [1, 2, 3], "std": [1, 2, 4]}, shape=(3,), dtype="float32"
    )
    (made,) = preprocessor.apply(preprocessor.arrange([2, 4, 7])[0])
    assert made.tolist() == [[1, 1, 1]]


def test_a_grey_picture_becomes_a_row_of_pixels() -> None:
    preprocessor = a_preprocessor({"kind": "picture", "order": "grey"}, RESIZE, shape=(24,))
    assert preprocessor.apply(preprocessor.arrange(np.zeros((9, 9), np.uint8))[0])[0].shape == (1, 24)


def test_several_inputs_keep_their_order_and_may_be_named() -> None:
    declared = Preprocessing.model_validate({"inputs": [{"raw": PICTURE, "steps": [RESIZE]}, {}]})
    image = Tensor(name="serving_default_image:0", shape=(1, 4, 6, 3), dtype="uint8")
    tensors = (image, Tensor(name="size", shape=(1, 2)))
    preprocessor = Preprocessor(declared, Contract(inputs=tensors, outputs=tensors))
    picture = np.zeros((5, 5, 3), np.uint8)
    for given_ in ([picture, [1.0, 2.0]], {"size": [1.0, 2.0], "image": picture}):
        made = preprocessor.apply(preprocessor.arrange(given_)[0])
        assert [each.shape for each in made] == [(1, 4, 6, 3), (1, 2)]
    with pytest.raises(BadInput, match="name them"):
        preprocessor.arrange({"image": picture})


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20))
def test_a_cast_rounds_to_the_nearest_and_stays_in_range(values: list[float]) -> None:
    for dtype in (np.uint8, np.int8, np.int16, np.int32):
        bounds = np.iinfo(dtype)
        made = numbers.cast(np.array(values, np.float32), np.dtype(dtype))
        assert made.dtype == dtype
        for got, value in zip(made.tolist(), values, strict=True):
            assert got == min(max(round(value), bounds.min), bounds.max)


def test_results_too_small_for_a_normal_number_are_zero() -> None:
    tiny = np.float32(2.0**-126)
    array = {"kind": "array", "shape": [3]}
    preprocessor = a_preprocessor(array, {"step": "scale"}, shape=(3,), dtype="float32")
    (made,) = preprocessor.apply(preprocessor.arrange(np.array([tiny / 2, -tiny / 4, tiny], np.float32))[0])
    assert made.tolist() == [[0.0, 0.0, tiny]]
    assert not np.signbit(made).any()


def test_a_cast_to_64_bits_stays_in_range() -> None:
    made = numbers.cast(np.array([1e30, -1e30, 2.5], np.float32), np.dtype(np.int64))
    assert made[2] == 2
    assert made[0] > 9e18
    assert made[1] < -9e18


@pytest.mark.parametrize(
    "given_",
    [
        np.zeros((4, 6), np.uint8),
        np.zeros((4, 6, 4), np.uint8),
        np.zeros((0, 6, 3), np.uint8),
        np.zeros((4, 6, 3), np.float32),
        np.full((4, 6, 3), 256),
        np.full((4, 6, 3), "a"),
        [[[1, 2, 3]], [[1, 2]]],
        np.zeros((1, 20_000, 3), np.uint8),
    ],
    ids=lambda given_: f"{getattr(given_, 'dtype', 'list')} {getattr(given_, 'shape', '')}",
)
def test_what_is_no_picture_is_refused(given_: Any) -> None:
    with pytest.raises(BadInput):
        a_preprocessor(PICTURE, RESIZE).arrange(given_)


@pytest.mark.parametrize("given_", [np.zeros(1_599, np.int16), np.full(1_600, np.nan), np.full(1_600, 40_000)])
def test_what_is_no_sound_of_that_length_is_refused(given_: Any) -> None:
    with pytest.raises(BadInput):
        a_preprocessor(SOUND, shape=(1_600,), dtype="float32").arrange(given_)


@pytest.mark.parametrize(
    ("raw", "steps", "about"),
    [
        (PICTURE, [], "it ends with"),
        (PICTURE, [{"step": "resize", "width": 5, "height": 4}], "it ends with"),
        (PICTURE, [{"step": "scale"}, RESIZE], "step resize"),
        (PICTURE, [RESIZE, {"step": "scale"}], "ends with float32"),
        (PICTURE, [RESIZE, {"step": "crop", "width": 7, "height": 4}], "step crop"),
        (PICTURE, [{"step": "normalize", "mean": [1, 2]}], "step normalize"),
        (PICTURE, [{"step": "window", "length": 9, "hop": 9}], "step window"),
        (SOUND, [{"step": "mel", "bins": 9, "fft_size": 512}], "step mel"),
        (SOUND, [{"step": "window", "length": 1_700, "hop": 9}], "step window"),
        (SOUND, [{"step": "window", "length": 800, "hop": 9}, {"step": "mel", "bins": 9, "fft_size": 512}], "fft_size"),
        (SOUND, [{"step": "window", "length": 80, "hop": 9}, {"step": "mel", "bins": 99, "fft_size": 128}], "band"),
        (
            SOUND,
            [{"step": "window", "length": 80, "hop": 9}, {"step": "mel", "bins": 9, "fft_size": 128, "fmax_hz": 9e3}],
            "Hz",
        ),
    ],
)
def test_steps_that_do_not_lead_to_the_model_are_refused(
    raw: dict[str, Any], steps: list[dict[str, Any]], about: str
) -> None:
    with pytest.raises(BadInput, match=about):
        a_preprocessor(raw, *steps)
