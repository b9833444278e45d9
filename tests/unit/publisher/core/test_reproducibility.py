"""A training is compared with an earlier one of equal inputs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from publisher.core.release.reproducibility import TrainingRecord, repeated

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def a_record(number: int, *, accuracy: float = 0.975, int8: str = "b" * 64, **changes: Any) -> TrainingRecord:
    lineage = {
        "recipe_sha256": "1" * 64,
        "data_sha256": "2" * 64,
        "settings": {"epochs": 20, "seed": 1},
        "parent": None,
        "accuracy": accuracy,
        "versions": {"tensorflow": "2.21.0"},
        **changes,
    }
    return TrainingRecord(number, "digits", NOON, lineage, {"float32": "a" * 64, "int8": int8})


def test_a_repetition_is_reported_as_the_same() -> None:
    found = repeated([a_record(1), a_record(2)], a_record(3))
    assert found is not None
    assert (found.number, found.same_bytes) == (2, True)
    assert found.sentence() == "the same accuracy as training 2 of 2026-06-01 12:00 UTC, and the same bytes"


def test_other_bytes_are_named_with_what_may_be_the_cause() -> None:
    now = a_record(2, int8="c" * 64, versions={"tensorflow": "2.22.0"})
    found = repeated([a_record(1)], now)
    assert found is not None
    assert found.sentence().endswith("but other bytes in int8 (tensorflow 2.21.0 then, 2.22.0 now)")
    assert found.facts() == {
        "training": 1,
        "same_accuracy": True,
        "same_bytes": False,
        "other_files": ["int8"],
        "other_versions": ["tensorflow 2.21.0 then, 2.22.0 now"],
    }


def test_another_accuracy_is_reported_with_both_numbers() -> None:
    found = repeated([a_record(1)], a_record(2, accuracy=0.97))
    assert found is not None
    assert found.sentence().startswith("accuracy 0.9700, but training 1 of 2026-06-01 12:00 UTC had 0.9750")


def test_another_seed_recipe_data_or_parent_is_another_training() -> None:
    for change in (
        {"settings": {"epochs": 20, "seed": 2}},
        {"calibration_sha256": "3" * 64},
        {"recipe_sha256": "3" * 64},
        {"data_sha256": "3" * 64},
        {"parent": "1.0.0"},
    ):
        assert repeated([a_record(1)], a_record(2, **change)) is None
