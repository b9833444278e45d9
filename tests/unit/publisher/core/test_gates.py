"""The gates of a release: what they refuse, and with which numbers."""

from __future__ import annotations

from publisher.core.release.gates import Baseline, Figures, Gates, failures, suggest_remedy

BEFORE = Baseline("1.0.0", {"float32": 0.95, "int8": 0.94})


def of(**accuracies: float | None) -> dict[str, Figures]:
    """Variants of which only the accuracy matters."""
    return {variant: Figures(accuracy) for variant, accuracy in accuracies.items()}


def test_a_candidate_that_is_about_as_good_goes_out() -> None:
    assert failures(of(float32=0.94, int8=0.925), BEFORE, Gates()) == ()


def test_a_worse_candidate_is_reported_with_its_numbers() -> None:
    (reason,) = failures(of(float32=0.95, int8=0.80), BEFORE, Gates())
    assert reason == "the accuracy of int8 is 0.800, 0.140 under the 0.940 of 1.0.0; 0.020 is allowed"


def test_a_variant_that_is_new_is_compared_with_the_main_one() -> None:
    assert len(failures(of(float16=0.90), BEFORE, Gates())) == 1


def test_the_first_version_has_nothing_to_be_compared_with() -> None:
    assert failures(of(float32=0.10), None, Gates()) == ()


def test_a_floor_counts_for_every_variant_and_for_what_is_not_known() -> None:
    missed = failures(of(float32=0.95, int8=0.89, original=None), None, Gates(min_accuracy=0.9))
    assert missed == (
        "the accuracy of int8 is 0.890, under the 0.900 asked for",
        "the accuracy of original is not known, and at least 0.900 is asked",
    )


def test_an_unknown_accuracy_passes_without_a_floor() -> None:
    assert failures(of(original=None), BEFORE, Gates()) == ()
    assert failures(of(original=0.1), Baseline("1.0.0", {"original": None}), Gates()) == ()


def test_what_is_too_large_for_the_wire_is_reported_with_both_sizes() -> None:
    large, small = Figures(0.95, wire_bytes=433_111), Figures(0.95, wire_bytes=40_000)
    missed = failures({"float32": large, "int8": small}, None, Gates(max_wire_bytes=40_000))
    assert missed == ("float32 takes 433,111 bytes on the wire, over the 40,000 asked for",)


def test_what_is_too_slow_or_was_never_timed_is_reported() -> None:
    candidate = {
        "slow": Figures(0.9, latency_ms_p95=2.518),
        "quick": Figures(0.9, latency_ms_p95=0.5),
        "bare": Figures(0.9),
    }
    assert failures(candidate, None, Gates(max_latency_ms=0.5)) == (
        "the latency of slow is 2.52 ms (p95), over the 0.5 ms asked for",
        "the latency of bare is not known, and at most 0.5 ms is asked",
    )
    assert failures(candidate, None, Gates()) == ()


def test_the_way_out_is_of_the_gates_that_were_missed() -> None:
    weak, large = {"float32": Figures(0.5, 10, 1, 1)}, {"float32": Figures(0.99, 5_000, 1, 9)}
    gates = Gates(min_accuracy=0.9, max_wire_bytes=1_000, max_latency_ms=5)
    assert suggest_remedy(weak, None, gates) == "train it longer; or release it all the same with --force"
    assert suggest_remedy(large, None, gates).startswith("ship other --variants: publisher compress shows")
    assert suggest_remedy({"original": Figures()}, None, Gates(min_accuracy=0.9)).startswith("give --data with classes")
    both = suggest_remedy(weak | {"large": Figures(0.5, 5_000)}, None, Gates(min_accuracy=0.9, max_wire_bytes=1_000))
    assert both.startswith("train it longer; ship other --variants")


def test_every_gate_that_a_variant_misses_is_reported() -> None:
    gates = Gates(min_accuracy=0.99, max_wire_bytes=1, max_latency_ms=0.1)
    assert len(failures({"float32": Figures(0.9, 2, 0.1, 0.2)}, BEFORE, gates)) == 4


def test_a_number_that_misses_by_little_is_reported_with_enough_digits_to_see_it() -> None:
    (reason,) = failures(of(int8=0.97987), None, Gates(min_accuracy=0.98))
    assert reason == "the accuracy of int8 is 0.9799, under the 0.9800 asked for"
    (reason,) = failures(of(int8=0.91996), BEFORE, Gates())
    assert reason.endswith("is 0.920, 0.02004 under the 0.940 of 1.0.0; 0.02000 is allowed")


def test_a_drop_of_just_what_is_allowed_passes() -> None:
    assert failures(of(int8=0.96), Baseline("1.0.0", {"int8": 0.98}), Gates(max_drop=0.02)) == ()
