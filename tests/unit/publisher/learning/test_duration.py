"""The estimate of a ladder's time counts what is shared once, and learns from rungs."""

from __future__ import annotations

import pytest

from publisher.learning.recipe.train_settings import TrainSettings
from publisher.learning.variants.duration import CONVERT_QAT, SETUP, SETUP_QAT, Costs, Duration, time_text
from publisher.learning.variants.schedule import Schedule
from publisher.learning.variants.variant_spec import VariantSpec

SCHEDULE = Schedule(TrainSettings(epochs=20))


def a_duration(*names: str, made: frozenset[str] = frozenset()) -> Duration:
    return Duration(SCHEDULE, Costs(epoch_s=2.0, rung_s=10.0), [VariantSpec.parse(name) for name in names], made)


def test_conversions_training_and_what_comes_before_it_add_up() -> None:
    assert a_duration("int8").left_s() == 10.0
    assert a_duration("qat").left_s() == 10 * CONVERT_QAT + 10 * SETUP_QAT + 5 * 2
    assert a_duration("pruned-80").left_s() == 10 + 10 * SETUP + 10 * 2
    assert a_duration("pruned-80", made=frozenset({"pruned-80"})).left_s() == 10


def test_a_network_of_two_rungs_is_trained_once() -> None:
    once, twice = a_duration("pruned-80").left_s(), a_duration("pruned-80", "pruned-80-int8").left_s()
    assert twice == once + 10


def test_what_the_first_rungs_took_corrects_the_rest() -> None:
    duration = a_duration("pruned-80", "pruned-80-int8", "qat")
    rest_s = a_duration("pruned-80-int8", "qat", made=frozenset({"pruned-80"})).left_s()
    duration.finish(3 * a_duration("pruned-80").left_s())
    assert duration.left_s() == pytest.approx(3 * rest_s)
    for _ in range(2):
        duration.finish(1.0)
    assert duration.left_s() == 0.0


def test_an_impossible_rung_corrects_nothing() -> None:
    duration = a_duration("qat", "pruned-80")
    rest_s = a_duration("pruned-80").left_s()
    duration.leave_out()
    assert duration.left_s() == rest_s


def test_a_time_is_told_as_people_say_it() -> None:
    assert [time_text(s) for s in (0, 44, 89, 90, 700, 7_800)] == [
        "10 s",
        "40 s",
        "90 s",
        "2 min",
        "12 min",
        "2 h 10 min",
    ]
