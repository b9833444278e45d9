"""Drift is reported when a stream shifts up, and ends when it shifts back."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from device_client.feedback.drift_detector import LEARN, LIMIT, DriftState, PageHinkley

Floats = NDArray[np.float64]


def a_detector(mean: float | None = 0.0, std: float = 1.0) -> PageHinkley:
    return PageHinkley(mean, std, std_floor=0.01)


def feed(detector: PageHinkley, numbers: Floats) -> list[float | None]:
    return [detector.update(float(number)) for number in numbers]


def until_alarm(detector: PageHinkley, numbers: Floats) -> int | None:
    """After how many numbers it was raised; None when it never was."""
    for count, number in enumerate(numbers, start=1):
        detector.update(float(number))
        if detector.drifting:
            return count
    return None


def normal(count: int, mean: float = 0.0, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).normal(mean, 1.0, count)


def test_a_stream_that_stays_where_it_was_raises_no_alarm() -> None:
    alarms = [until_alarm(a_detector(), normal(5_000, seed=seed)) for seed in range(60)]
    assert [alarm for alarm in alarms if alarm is not None] == []


def test_nor_does_a_skewed_one_whose_reference_is_learnt() -> None:
    """1 - confidence of a good model: nearly always about 0, sometimes 0.5."""
    streams = [np.random.default_rng(seed).beta(0.15, 2.5, 5_000) for seed in range(60)]
    assert sum(until_alarm(a_detector(None), stream) is not None for stream in streams) <= 1


@pytest.mark.parametrize(("shift", "expected"), [(1.0, 100), (2.0, 34), (4.0, 16)])
def test_the_alarm_comes_after_as_many_numbers_as_the_slack_and_limit_say(shift: float, expected: int) -> None:
    delays = [until_alarm(a_detector(), normal(500, shift, seed)) or 500 for seed in range(40)]
    assert np.median(delays) == pytest.approx(expected, rel=0.2)


def test_the_score_rises_to_one_stays_there_and_falls_to_nothing() -> None:
    detector = a_detector(None)
    learning = feed(detector, normal(LEARN))
    assert learning == [None] * LEARN
    assert detector.score == 0.0
    feed(detector, normal(150, 2.0))
    assert detector.score == pytest.approx(1.0, abs=0.1)
    assert detector.drifting
    feed(detector, normal(10_000, 3.0))
    assert detector.score == 1.0, "an hour of drift is not worse than a minute"
    fall = [score for score in feed(detector, normal(400)) if score is not None]
    assert fall[-1] < 0.2
    assert not detector.drifting


def test_the_alarm_ends_at_half_of_the_limit_and_does_not_flicker() -> None:
    detector = a_detector()
    feed(detector, np.full(100, 3.0))
    states = []
    for _ in range(int(2 * LIMIT)):
        detector.update(0.0)
        states.append(detector.drifting)
    changes = [after for before, after in itertools.pairwise([True, *states]) if after != before]
    assert changes == [False]
    assert states.index(False) == LIMIT


def test_one_outlier_is_no_drift() -> None:
    detector = a_detector()
    assert detector.update(1e9) == pytest.approx(3.5 / LIMIT)
    assert detector.update(float("inf")) == pytest.approx(7.0 / LIMIT)


def test_a_stream_that_never_varied_may_vary_by_the_floor() -> None:
    detector = PageHinkley(std_floor=0.1)
    feed(detector, np.zeros(LEARN))
    feed(detector, np.full(1_000, 0.04))
    assert detector.score == 0.0


def test_a_stream_that_gets_better_is_no_drift() -> None:
    detector = a_detector()
    feed(detector, normal(1_000, -3.0))
    assert (detector.score, detector.drifting) == (0.0, False)


@pytest.mark.parametrize("stop_at", [1, LEARN // 2, LEARN, LEARN + 60, LEARN + 400])
@pytest.mark.parametrize("mean", [None, 0.2])
def test_a_detector_resumes_the_state_of_another(stop_at: int, mean: float | None) -> None:
    stream = np.concatenate([normal(LEARN + 50), normal(500, 2.0, seed=2)])
    whole, first, second = a_detector(mean), a_detector(mean), a_detector(mean)
    expected = feed(whole, stream)
    feed(first, stream[:stop_at])
    second.resume(first.state())
    assert second.drifting == first.drifting
    assert feed(second, stream[stop_at:]) == pytest.approx(expected[stop_at:])
    assert second.drifting


@pytest.mark.parametrize(
    "wrong",
    [{"sum": -1.0}, {"sum": LIMIT + 1}, {"sum": float("nan")}, {"count": LEARN + 1}, {"count": -1}, {"squares": -1.0},
     {"mean": float("inf")}],
)  # fmt: skip
def test_an_invalid_state_changes_nothing(wrong: dict[str, float]) -> None:
    detector = a_detector(None)
    feed(detector, normal(LEARN + 10))
    before = detector.state()
    detector.resume(replace(before, **{"sum": 1.0, "drifting": True, **wrong}))  # type: ignore[arg-type]  # wrong on purpose
    assert detector.state() == before


def test_a_given_reference_is_kept_and_only_the_sum_goes_on() -> None:
    detector = a_detector(0.0)
    detector.resume(DriftState(sum=30.0, drifting=True, count=LEARN, mean=7.0, squares=9.0))
    assert detector.score == pytest.approx(0.6)
    assert detector.update(0.5) == pytest.approx(0.6), "half a deviation over the given mean is the slack"
