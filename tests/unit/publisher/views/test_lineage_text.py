"""Where a version came from, in lines that a person reads."""

from __future__ import annotations

from publisher.views.lineage_text import lines


def test_everything_that_traces_a_version_has_its_line() -> None:
    text = lines(
        {
            "source": "recipe",
            "recipe": "digits",
            "recipe_sha256": "1" * 64,
            "data_sha256": "2" * 64,
            "parent": "1.0.0",
            "continued": {"int8": "float32 of 1.0.0", "pruned-80": "pruned-80 of 1.0.0, its zeros kept"},
            "settings": {"epochs": 5, "learning_rate": 0.0001},
            "versions": {"tensorflow": "2.21.0", "numpy": "1.26.4"},
            "accuracy": 0.9758,
            "history": [{"loss": 1.0, "accuracy": 0.5}, {"loss": 0.25, "accuracy": 0.95}],
            "networks_sha256": {"pruned-80": "3" * 64},
            "calibration_of": "0.9.0",
            "not_done": ["left out: qat is slow", "left out: clustered is large"],
            "calibration_sha256": "4" * 64,
            "something_new": "kept",
        }
    )
    assert text.splitlines() == [
        "made from:      recipe",
        "recipe:         digits",
        f"recipe hash:    {'1' * 64}",
        f"data hash:      {'2' * 64}",
        "goes on from:   1.0.0",
        "variants:       int8 goes on from float32 of 1.0.0",
        "                pruned-80 goes on from pruned-80 of 1.0.0, its zeros kept",
        "settings:       epochs 5, learning rate 0.0001",
        "accuracy:       0.9758",
        "training:       2 epochs, the last at loss 0.2500, accuracy 0.9500",
        "calibration:    the set that was drawn for 0.9.0",
        f"calibration id: {'4' * 64}",
        "versions:       tensorflow 2.21.0, numpy 1.26.4",
        "weights hashes: pruned-80",
        f"                {'3' * 64}",
        "not done:       left out: qat is slow",
        "                left out: clustered is large",
        "something new:  kept",
    ]
    assert max(len(line) for line in text.splitlines()) <= 80


def test_what_was_all_done_has_no_line() -> None:
    assert lines({"source": "keras", "not_done": []}) == "made from:      keras"


def test_a_version_that_was_trained_from_scratch_says_so() -> None:
    assert "goes on from:   nothing: trained from scratch" in lines({"source": "recipe", "parent": None})
    assert lines({"calibration_of": None, "calibration_anew": "why"}).splitlines() == [
        "calibration:    drawn for this version",
        "drawn anew:     why",
    ]
    assert lines({}) == "made from:      not recorded"
