"""Golden inputs from a seed are the same bits everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from protocol.content.noise import hash_of, noise, positions, random_words
from protocol.messages.golden_index import Noise


def test_the_words_are_those_of_the_published_generator() -> None:
    assert random_words(0, 0, 3).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@pytest.mark.parametrize(
    ("spec", "sha256"),
    [
        (Noise(dtype="float32", low=-1, high=1), "33250f23"),
        (Noise(dtype="uint8", low=0, high=255), "189fb396"),
        (Noise(dtype="int64", low=-5, high=10**12), "23e223d2"),
        (Noise(dtype="bool"), "a1cd5960"),
        (Noise(dtype="float16", low=0.1, high=0.3), "3785b63f"),
        (Noise(dtype="string"), "da4e62c4"),
    ],
)
def test_a_seed_gives_the_same_values_for_ever(spec: Noise, sha256: str) -> None:
    values = noise(spec, (3, 5), 11, 7)
    assert values.shape == (3, 5)
    assert hash_of([values])[:8] == sha256
    if values.dtype.kind != "S":
        assert spec.low <= float(values.min()) <= float(values.max()) <= spec.high


def test_streams_differ() -> None:
    spec = Noise(dtype="int32", low=0, high=1_000_000)
    assert not np.array_equal(noise(spec, (9,), 11, 0), noise(spec, (9,), 11, 1))
    assert not np.array_equal(noise(spec, (9,), 11, 0), noise(spec, (9,), 12, 0))


def test_positions_ascend_without_a_double_over_the_whole_range() -> None:
    places = positions(1_000_003, 1_000, 11, -1)
    assert np.all(np.diff(places) > 0)
    assert places[0] < 1_001
    assert 999_000 <= places[-1] < 1_000_003
    assert positions(3, 10, 11, -1).tolist() == [0, 1, 2]
