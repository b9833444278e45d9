"""What a candidate must be able to do, and how it is told what it lacks."""

from __future__ import annotations

from publisher.core.gates import Gates, Standing, failures

BEFORE = Standing("1.0.0", {"float32": 0.95, "int8": 0.94})


def test_a_candidate_that_is_about_as_good_goes_out() -> None:
    assert failures({"float32": 0.94, "int8": 0.925}, BEFORE, Gates()) == ()


def test_a_worse_candidate_is_told_with_its_numbers() -> None:
    (reason,) = failures({"float32": 0.95, "int8": 0.80}, BEFORE, Gates())
    assert reason == "the accuracy of int8 is 0.800, 0.140 under the 0.940 of 1.0.0; 0.020 is allowed"


def test_a_variant_that_is_new_is_compared_with_the_main_one() -> None:
    assert len(failures({"float16": 0.90}, BEFORE, Gates())) == 1


def test_the_first_version_has_nothing_to_be_compared_with() -> None:
    assert failures({"float32": 0.10}, None, Gates()) == ()


def test_a_floor_counts_for_every_variant_and_for_what_is_not_known() -> None:
    missed = failures({"float32": 0.95, "int8": 0.89, "original": None}, None, Gates(min_accuracy=0.9))
    assert missed == (
        "the accuracy of int8 is 0.890, under the 0.900 asked for",
        "the accuracy of original is not known, and at least 0.900 is asked",
    )


def test_an_accuracy_that_nobody_knows_passes_when_no_floor_is_asked() -> None:
    assert failures({"original": None}, BEFORE, Gates()) == ()
    assert failures({"original": 0.1}, Standing("1.0.0", {"original": None}), Gates()) == ()
