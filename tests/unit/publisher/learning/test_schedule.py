"""Which networks go on from an earlier version, for how long, and how that is told."""

from __future__ import annotations

import pytest

from publisher.learning.recipe.train_settings import TrainSettings
from publisher.learning.variants.schedule import ANEW, Earlier, Schedule
from publisher.learning.variants.variant_spec import RUNGS, Transformation, VariantSpec

FRESH = TrainSettings(epochs=20, learning_rate=0.001)
GENTLE = TrainSettings(epochs=5, learning_rate=0.0001)


def stage(name: str) -> Transformation:
    return VariantSpec.parse(name).stage


def after(*kept: str) -> Schedule:
    return Schedule(FRESH, Earlier("1.0.0", frozenset(kept), GENTLE))


@pytest.mark.parametrize("name", [*RUNGS, "distilled-pruned-60-clustered-qat", "student-pruned-int8"])
def test_a_network_is_kept_by_the_name_of_a_rung_that_shows_it(name: str) -> None:
    assert stage(stage(name).name) == stage(name)


def test_what_an_earlier_version_has_is_trained_as_gently_as_its_parent() -> None:
    times = after("pruned-80", "distilled")
    for name in ("pruned-80", "distilled"):
        assert times.path(stage(name)) == (stage(name),)
        assert (times.epochs(stage(name)), times.learning_rate(stage(name))) == (5, 0.0001)
    assert (times.epochs(stage("pruned-50")), times.learning_rate(stage("pruned-50"))) == (10, 0.001)
    assert times.epochs(Transformation()) == 0


def test_what_it_has_not_is_made_from_what_goes_on() -> None:
    path = after("pruned-80").path(stage("pruned-80-clustered-qat"))
    assert [each.name for each in path] == ["pruned-80", "pruned-80-clustered", "pruned-80-clustered-qat"]
    assert after("pruned-80-clustered-qat").path(stage("pruned-80-clustered-qat")) == path[-1:]


def test_another_draw_of_a_student_goes_on_from_nothing() -> None:
    assert not after("student").goes_on(Transformation("student", seed_offset=1))


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("int8", "float32 of 1.0.0"),
        ("pruned-80-int8", "pruned-80 of 1.0.0, its zeros kept"),
        ("distilled-int8", "distilled of 1.0.0"),
        ("qat", "qat of 1.0.0, its integer ranges kept"),
        (
            "pruned-clustered-qat",
            "pruned-80-clustered-qat of 1.0.0, its zeros, its clusters and its integer ranges kept",
        ),
        ("pruned-50", f"float32 of 1.0.0; {ANEW}: 1.0.0 has no pruned-50 to go on from"),
        (
            "pruned-80-qat",
            f"pruned-80 of 1.0.0, its zeros kept; {ANEW}: 1.0.0 has no pruned-80-qat to go on from",
        ),
        ("student", f"nothing; {ANEW}: 1.0.0 has no student to go on from"),
        ("student-qat", f"nothing; {ANEW}: 1.0.0 has no student-qat to go on from"),
    ],
)
def test_what_a_rung_goes_on_from_is_told(name: str, origin: str) -> None:
    times = after("pruned-80", "distilled", "qat", "pruned-80-clustered-qat")
    assert times.origin(stage(name)) == origin


def test_a_ladder_from_scratch_tells_of_no_origin() -> None:
    assert Schedule(FRESH).origin(stage("pruned-80")) is None
