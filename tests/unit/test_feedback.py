"""Feedback: what is counted, how it stands on the wire, and that threads lose nothing."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from device_client.feedback import Counts, Window, to_message
from protocol.windows import BUCKET_LAST, OTHER, bucket, percentile_ms

DIGITS = tuple(str(digit) for digit in range(10))


def some_counts(labels: tuple[str, ...] = DIGITS) -> Counts:
    return Counts("1.0.0", "int8", labels, now_s=1_700_000_000.0)


def busy_window(classes: int = 10) -> Window:
    counts = some_counts(tuple(f"class {index}" for index in range(classes)))
    for turn in range(20_000):
        latency_s = 0.000_050 * 1.4 ** (turn % 16)  # from 50 microseconds to 8 ms
        counts.observe(latency_s, turn % classes, 0.9)
    counts.label(True)
    counts.label(False)
    counts.fail()
    return counts.take(1_700_000_060.0)


def test_a_bucket_holds_what_its_formula_says() -> None:
    for index in range(1, BUCKET_LAST):
        lower_s = 2 ** (index / 4) / 1e6
        upper_s = 2 ** ((index + 1) / 4) / 1e6
        assert bucket(lower_s * 1.001) == index
        assert bucket(upper_s * 0.999) == index


def test_the_fastest_and_the_slowest_have_a_bucket_too() -> None:
    assert bucket(0.0) == 0
    assert bucket(-1.0) == 0  # a clock may be set back
    assert bucket(3600.0) == BUCKET_LAST


def test_a_percentile_is_right_to_within_nine_percent() -> None:
    histogram: dict[int, int] = {}
    for ms in range(1, 101):
        index = bucket(ms / 1000)
        histogram[index] = histogram.get(index, 0) + 1
    assert percentile_ms(histogram, 0.50) == pytest.approx(50, rel=0.09)
    assert percentile_ms(histogram, 0.95) == pytest.approx(95, rel=0.09)
    assert percentile_ms({}, 0.5) is None


def test_a_window_counts_answers_failures_and_labels() -> None:
    counts = some_counts()
    counts.observe(0.001, 3, 0.75)
    counts.observe(0.002, 3, 0.25)
    counts.observe(0.002, None, None)
    counts.fail()
    counts.label(True)
    window = counts.take(1_700_000_060.0)
    assert (window.inferences, window.errors, window.labelled, window.correct) == (4, 1, 1, 1)
    assert window.classes == {"3": 2}
    assert window.confidence_sum == pytest.approx(1.0)
    assert sum(window.latency.values()) == 3
    assert (window.start_s, window.end_s) == (1_700_000_000.0, 1_700_000_060.0)


def test_taking_a_window_starts_the_next_one_at_nothing() -> None:
    counts = some_counts()
    counts.observe(0.001, 3, 0.75)
    counts.take(1_700_000_060.0)
    after = counts.take(1_700_000_090.0)
    assert after == Window("1.0.0", "int8", 1_700_000_060.0, 1_700_000_090.0)


def test_looking_at_the_counts_takes_nothing_away() -> None:
    counts = some_counts()
    counts.observe(0.001, 3, 0.75)
    assert counts.look(1_700_000_001.0).inferences == 1
    assert counts.inferences == 1


def test_threads_that_count_together_lose_nothing() -> None:
    counts = some_counts()

    def work(top: int) -> None:
        for _ in range(2_000):
            counts.observe(0.001, top, 0.5)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    window = counts.take(1_700_000_001.0)
    assert window.inferences == 8_000
    assert window.classes == {"0": 2_000, "1": 2_000, "2": 2_000, "3": 2_000}
    assert window.confidence_millionths == 8_000 * 500_000


def test_windows_of_two_versions_do_not_add_up() -> None:
    ours, theirs = some_counts().take(1.0), Counts("1.1.0", "int8", now_s=0.0).take(1.0)
    with pytest.raises(ValueError, match=r"1\.0\.0 cannot be added to one of 1\.1\.0"):
        ours.merge(theirs)


def test_a_message_of_ten_classes_stays_under_a_kilobyte() -> None:
    line = to_message(busy_window(), "greenhouse-pi-4", "digits", "0123456789abcdef0123456789abcdef").to_line()
    assert len(line) < 1_024, line


def test_a_message_of_a_thousand_classes_stays_under_four_kilobytes() -> None:
    window = busy_window(classes=1_000)
    line = to_message(window, "greenhouse-pi-4", "digits", "0123456789abcdef0123456789abcdef").to_line()
    said = json.loads(line)
    assert len(line) < 4_096
    assert sum(said["classes"].values()) == 20_000
    assert said["classes"][OTHER] > 0


def test_a_message_says_what_the_window_holds() -> None:
    message = to_message(busy_window(), "pi-1", "digits", "e-1")
    assert (message.inferences, message.errors) == (20_001, 1)
    assert (message.labelled, message.correct, message.accuracy) == (2, 1, 0.5)
    assert message.confidence_mean == pytest.approx(0.9)
    assert sum(message.latency_histogram.values()) == 20_000
    assert message.window_end.timestamp() - message.window_start.timestamp() == 60


def test_a_window_without_answers_claims_no_figures() -> None:
    message = to_message(some_counts().take(1_700_000_060.0), "pi-1", "digits", "e-1")
    assert message.accuracy is None
    assert message.latency_ms_p95 is None
    assert message.confidence_mean is None
