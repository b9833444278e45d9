"""The picture of the smart strategy shows what the core does: shrink to the floor, take the update, grow back."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bench.smart import DAY_S, HELD_S, SMART, replay
from device_client.core.device import Phase


def test_a_week_of_drift_shrinks_the_interval_takes_the_update_and_grows_back() -> None:
    samples = replay()
    taken = next(at for at, sample in enumerate(samples) if sample.phase is Phase.FETCHING)
    before, after = samples[:taken], samples[taken + 1 :]
    shrinking = [sample.interval_s or 0.0 for sample in before]
    assert shrinking[0] == SMART.interval_max_s
    assert shrinking[-1] == pytest.approx(SMART.interval_min_s)
    assert all(later <= sooner for sooner, later in pairwise(shrinking))
    assert all("CPU load 95 % is over 80 %" in sample.reason for sample in before if sample.at_s < HELD_S[0])
    held = [sample for sample in before if HELD_S[0] <= sample.at_s < HELD_S[1]]
    assert any(sample.score == 0.0 for sample in held)
    assert all("the application holds" in sample.reason for sample in held), "safety is not waived"
    assert HELD_S[1] <= samples[taken].at_s <= HELD_S[1] + SMART.interval_min_s
    growing = [sample.interval_s or 0.0 for sample in after if sample.looked]
    assert {sample.live for sample in after} == {"2.0.0"}
    assert growing[0] <= 2 * SMART.interval_min_s
    assert growing[-1] == SMART.interval_max_s
    assert all(sooner <= later <= 2 * sooner for sooner, later in pairwise(growing))
    assert after[-1].at_s > 6 * DAY_S
