"""Changed inputs differ from the training set in level or distance."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.feedback.input_profile import LEVEL_BINS, PROFILE_MAX, Profile
from protocol.messages.manifest import InputStatistics
from publisher.learning.data.input_statistics import SAMPLES_MAX, input_statistics
from publisher.recipes.digits import load_data
from tests.builders import a_manifest

Float32 = NDArray[np.float32]


@pytest.fixture(scope="module")
def digits() -> tuple[Float32, Float32]:
    x_train, _, x_test, _ = load_data()
    return x_train.astype(np.float32), x_test.astype(np.float32)


@pytest.fixture(scope="module")
def statistics(digits: tuple[Float32, Float32]) -> InputStatistics:
    return input_statistics(digits[0])


def mean_profile(profile: Profile, x: Float32) -> tuple[float, float]:
    """Level and distance, in their plain units."""
    samples = [profile.measure(row) for row in x]
    return float(np.mean([sample.level for sample in samples])) / 1_000, float(
        np.mean([sample.distance for sample in samples])
    ) / 1_000


@pytest.mark.heavy
def test_the_training_set_looks_like_itself(digits: tuple[Float32, Float32], statistics: InputStatistics) -> None:
    level, distance = mean_profile(Profile(784, statistics), digits[0])
    assert level == pytest.approx(0.0, abs=0.01)
    assert distance == pytest.approx(statistics.distance_mean, rel=0.01)
    assert sum(statistics.levels) == statistics.samples == 1_300


@pytest.mark.heavy
def test_held_out_digits_look_alike_and_changed_ones_do_not(
    digits: tuple[Float32, Float32], statistics: InputStatistics
) -> None:
    held_out, profile = digits[1], Profile(784, statistics)
    usual, spread = statistics.distance_mean, statistics.distance_std
    level, distance = mean_profile(profile, held_out)
    assert abs(level) < 0.2
    assert abs(distance - usual) < 0.2 * spread
    turned = np.rot90(held_out.reshape(-1, 28, 28), axes=(1, 2)).reshape(-1, 784)
    assert mean_profile(profile, turned)[1] > usual + 2 * spread
    assert mean_profile(profile, held_out + np.float32(0.2))[0] > 4, "a camera that is overexposed"
    assert mean_profile(profile, np.zeros_like(held_out))[0] < -8, "a lens that is covered"


@pytest.mark.heavy
def test_they_travel_in_the_manifest_in_half_a_kilobyte(statistics: InputStatistics) -> None:
    manifest = a_manifest(input_statistics=statistics)
    assert type(manifest).from_line(manifest.to_line()).input_statistics == statistics
    assert len(statistics.model_dump_json()) < 600


def test_without_statistics_a_level_is_the_plain_mean() -> None:
    sample = Profile(4).measure(np.array([0.1, 0.2, 0.3, 0.4], np.float32))
    assert (sample.level, sample.distance) == (250, 0)


@pytest.mark.heavy
def test_statistics_of_inputs_of_another_size_are_passed_over(statistics: InputStatistics) -> None:
    assert Profile(4, statistics).measure(np.ones(4, np.float32)).level == 1_000


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint8])
def test_inputs_of_any_type_and_one_value_will_do(dtype: type) -> None:
    assert Profile(1).measure(np.array([1], dtype)).level == 1_000


def test_what_is_far_beyond_everything_is_bounded() -> None:
    for value in (3e38, -3e38):
        sample = Profile(784).measure(np.full(784, value, np.float32))
        assert abs(sample.level) == PROFILE_MAX
        assert sample.bin in (0, LEVEL_BINS - 1)


def test_a_training_set_that_never_varies_has_statistics_too() -> None:
    statistics = input_statistics(np.full((10, 6), 0.5, np.float32))
    assert Profile(6, statistics).measure(np.full(6, 0.5, np.float32)).level == 0


def test_a_large_training_set_is_thinned_out_evenly() -> None:
    x = np.linspace(0, 1, 2 * SAMPLES_MAX + 1, dtype=np.float32)[:, None]
    statistics = input_statistics(x)
    assert statistics.samples <= SAMPLES_MAX
    assert statistics.mean == pytest.approx(0.5, abs=1e-3)
