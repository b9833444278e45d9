"""How many golden samples there are, and which are stored as all devices read them."""

from __future__ import annotations

import numpy as np
import pytest

from protocol.errors import BadModel
from protocol.messages.contract import Contract, Tensor
from protocol.messages.golden_index import Noise
from protocol.messages.manifest import GOLDEN_MAX_BYTES
from publisher.learning.data.golden_samples import GoldenSamples
from publisher.learning.data.npz_data import UserData
from publisher.learning.measurement.golden_set import Candidate, golden_inputs
from publisher.learning.measurement.inspection import Inspection


def drawn(
    features: int, values: int, *, variants: int = 1, dtype: str = "float32", data: UserData | None = None
) -> GoldenSamples:
    contract = Contract(
        inputs=(Tensor(name="x", shape=(1, features), dtype=dtype),), outputs=(Tensor(name="y", shape=(1, values)),)
    )
    inspection = Inspection(contract, "float32", (0.0,), noise=(Noise(dtype=dtype),))
    candidates = {str(index): Candidate(b"", "a file", inspection) for index in range(variants)}
    return golden_inputs(contract, data, candidates, "a file")


@pytest.mark.parametrize("variants", [1, 8])
@pytest.mark.parametrize(("features", "values"), [(784, 10), (43_844, 45_408), (100_000, 10), (100, 400_000)])
def test_a_plain_golden_set_fits_with_whole_outputs_and_another_with_some_of_their_values(
    features: int, values: int, variants: int
) -> None:
    golden = drawn(features, values, variants=variants)
    stored = values if golden.plain else min(values, golden.values_max)
    assert golden.values_max >= 1_000
    inputs = features * (golden.samples - golden.noise_samples if not golden.plain else golden.samples)
    assert 4 * (inputs + golden.samples * variants * stored) <= GOLDEN_MAX_BYTES
    assert golden.samples >= 8


def test_small_models_are_stored_as_every_device_reads_them() -> None:
    assert drawn(784, 10).plain
    assert not drawn(784, 10, dtype="uint8").plain


def test_as_many_of_the_users_large_samples_as_fit_are_kept_and_others_generated() -> None:
    x = np.zeros((20, 600_000), np.float32)
    golden = drawn(600_000, 10, data=UserData((x,), None))
    assert (golden.samples, golden.noise_samples, golden.plain) == (8, 7, False)


def test_outputs_of_which_not_eight_samples_fit_are_refused() -> None:
    with pytest.raises(BadModel):
        drawn(10, 400_000, variants=1_000)
