"""Which networks go on from an earlier version, for how long, and how that is told."""

from __future__ import annotations

import pytest

from publisher.learning.recipe.train_settings import TrainSettings
from publisher.learning.variants.schedule import ANEW, EarlierVersion, Schedule
from publisher.learning.variants.variant_spec import RUNGS, NetworkSpec, VariantSpec

FRESH = TrainSettings(epochs=20, learning_rate=0.001)
GENTLE = TrainSettings(epochs=5, learning_rate=0.0001)


def network(name: str) -> NetworkSpec:
    return VariantSpec.parse(name).network


def after(*kept: str) -> Schedule:
    return Schedule(FRESH, EarlierVersion("1.0.0", frozenset(kept), GENTLE))


@pytest.mark.parametrize("name", [*RUNGS, "distilled-pruned-60-clustered-qat", "student-pruned-int8"])
def test_a_network_is_kept_by_the_name_of_a_rung_that_shows_it(name: str) -> None:
    assert network(network(name).name) == network(name)


def test_what_an_earlier_version_has_is_trained_as_gently_as_its_parent() -> None:
    times = after("pruned-80", "distilled")
    for name in ("pruned-80", "distilled"):
        assert times.chain(network(name)) == (network(name),)
        assert (times.epochs(network(name)), times.learning_rate(network(name))) == (5, 0.0001)
    assert (times.epochs(network("pruned-50")), times.learning_rate(network("pruned-50"))) == (10, 0.001)
    assert times.epochs(NetworkSpec()) == 0


def test_what_it_has_not_is_made_from_what_goes_on() -> None:
    path = after("pruned-80").chain(network("pruned-80-clustered-qat"))
    assert [each.name for each in path] == ["pruned-80", "pruned-80-clustered", "pruned-80-clustered-qat"]
    assert after("pruned-80-clustered-qat").chain(network("pruned-80-clustered-qat")) == path[-1:]


def test_another_draw_of_a_student_goes_on_from_nothing() -> None:
    assert not after("student").continues(NetworkSpec("student", seed_offset=1))


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
    assert times.origin(network(name)) == origin


def test_a_ladder_from_scratch_tells_of_no_origin() -> None:
    assert Schedule(FRESH).origin(network("pruned-80")) is None
