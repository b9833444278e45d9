"""What the counter counts, the message made of it, and that threads lose nothing."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from device_client.feedback.drift_detector import LEARN
from device_client.feedback.window import FeedbackWindow, to_message
from device_client.serving.feedback_counter import FeedbackCounter
from protocol.feedback.aggregation import OTHER
from protocol.feedback.input_profile import InputSample
from protocol.messages.device import Sample

DIGITS = tuple(str(digit) for digit in range(10))


def a_counter(labels: tuple[str, ...] = DIGITS, distance: tuple[float, float] | None = None) -> FeedbackCounter:
    return FeedbackCounter("1.0.0", "int8", labels, now_s=1_700_000_000.0, distance=distance)


def busy_window(classes: int = 10) -> FeedbackWindow:
    """A minute at 330 answers a second, of every kind that there is."""
    counter = a_counter(tuple(str(index) for index in range(classes)), distance=(1.0, 0.3))
    for turn in range(20_000):
        latency_s = 0.000_050 * 1.4 ** (turn % 16)  # from 50 microseconds to 8 ms
        counter.observe(latency_s, turn % classes, 0.9 if turn % 4 else (turn % 400) / 400)
        counter.compare(turn % 50 > 0)
        if turn % 8 == 0:
            counter.observe_input(InputSample(turn % 4_000 - 2_000, turn % 7, 1_300), 400)
    counter.label(True)
    counter.label(False)
    counter.fail()
    return counter.take(1_700_000_060.0)


def test_a_window_counts_answers_failures_and_labels() -> None:
    counter = a_counter()
    counter.observe(0.001, 3, 0.75)
    counter.observe(0.002, 3, 0.25)
    counter.observe(0.002, None, None)
    counter.fail()
    counter.label(True)
    window = counter.take(1_700_000_060.0)
    assert (window.sums.inferences, window.sums.errors, window.sums.labelled, window.sums.correct) == (4, 1, 1, 1)
    assert window.sums.classes == {"3": 2}
    assert window.sums.confidence_mean == pytest.approx(0.5)
    assert sum(window.sums.latency.values()) == 3
    assert (window.start_s, window.end_s) == (1_700_000_000.0, 1_700_000_060.0)


def test_taking_a_window_starts_the_next_one_at_nothing() -> None:
    counter = a_counter()
    counter.observe(0.001, 3, 0.75)
    counter.take(1_700_000_060.0)
    after = counter.take(1_700_000_090.0)
    assert after == FeedbackWindow("1.0.0", "int8", 1_700_000_060.0, 1_700_000_090.0)


def test_reading_the_sums_resets_nothing() -> None:
    counter = a_counter()
    counter.observe(0.001, 3, 0.75)
    assert counter.sums().inferences == 1
    assert counter.inferences == 1


def test_threads_that_count_together_lose_nothing() -> None:
    counter = a_counter()

    def work(top: int) -> None:
        for _ in range(2_000):
            counter.observe(0.001, top, 0.5)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    window = counter.take(1_700_000_001.0)
    assert window.sums.inferences == 8_000
    assert window.sums.classes == {"0": 2_000, "1": 2_000, "2": 2_000, "3": 2_000}
    assert window.sums.confidence_millionths == 8_000 * 500_000


def test_a_message_of_ten_classes_stays_under_a_kilobyte() -> None:
    line = to_message(busy_window(), "greenhouse-pi-4", "digits", "0123456789abcdef0123").to_line()
    assert len(line) < 1_024, line


def test_a_message_of_a_thousand_classes_stays_under_four_kilobytes() -> None:
    window = busy_window(classes=1_000)
    line = to_message(window, "greenhouse-pi-4", "digits", "0123456789abcdef0123456789abcdef").to_line()
    message = json.loads(line)
    assert len(line) < 4_096
    assert sum(message["classes"].values()) == 20_000
    assert message["classes"][OTHER] > 0


def test_a_message_says_what_the_window_holds() -> None:
    message = to_message(busy_window(), "pi-1", "digits", "e-1")
    assert (message.inferences, message.errors) == (20_001, 1)
    assert (message.labelled, message.correct, message.accuracy) == (2, 1, 0.5)
    assert message.confidence_mean == pytest.approx(0.8, abs=0.01)
    assert sum(message.latency_histogram.values()) == sum(message.confidence_histogram) == 20_000
    assert message.latency_ms_p50 is not None
    assert message.latency_ms_p95 is not None
    assert message.latency_ms_p99 is not None
    assert message.latency_ms_p50 < message.latency_ms_p95 <= message.latency_ms_p99
    assert (message.compared, message.agreed, message.agreement) == (20_000, 19_600, 0.98)
    assert message.entropy_bits == pytest.approx(3.322), "ten classes, equally often"
    assert message.window_end.timestamp() - message.window_start.timestamp() == 60


def test_a_window_without_answers_claims_no_figures() -> None:
    message = to_message(a_counter().take(1_700_000_060.0), "pi-1", "digits", "e-1")
    assert message.accuracy is None
    assert message.latency_ms_p95 is None
    assert (message.confidence_mean, message.confidence_histogram, message.entropy_bits) == (None, (), None)
    assert (message.agreement, message.drift, message.drifting, message.sample) == (None, None, None, None)


def test_confidences_fall_into_ten_bins() -> None:
    counter = a_counter()
    for confidence in (0.0, 0.099, 0.5, 0.901, 1.0):
        counter.observe(0.001, 1, confidence)
    window = counter.take(1_700_000_060.0)
    assert window.sums.confidences == (2, 0, 0, 0, 0, 1, 0, 0, 0, 2)
    assert window.sums.confidence_mean == pytest.approx(0.5)


def test_a_sampled_input_is_counted_in_whole_numbers() -> None:
    counter = a_counter()
    counter.observe(0.001, 1, 0.5)
    counter.observe_input(InputSample(-1_500, 2, 900), 1_000)
    counter.observe_input(InputSample(500, 4, 1_100), None)
    message = to_message(counter.take(1_700_000_060.0), "pi-1", "digits", "e-1")
    assert message.sample == Sample(
        inputs=2, level_sum=-1_000, level_squares=2_500_000, levels=(0, 0, 1, 0, 1, 0, 0, 0), distance_sum=2_000,
        entropy_sum=1_000,
    )  # fmt: skip
    assert message.input_shift == -0.5


def test_a_window_has_its_worst_drift_and_the_next_one_continues_from_the_present() -> None:
    counter = a_counter(distance=(1.0, 0.3))
    for _ in range(40):
        counter.observe_input(InputSample(0, 4, 3_000), None)
    for _ in range(60):
        counter.observe_input(InputSample(0, 4, 1_000), None)
    first = counter.take(1_700_000_060.0)
    assert (first.sums.drift, first.sums.drifting) == (1.0, True)
    assert counter.drift == pytest.approx(0.4), "it has come back since"
    counter.observe_input(InputSample(0, 4, 1_000), None)
    second = counter.take(1_700_000_120.0)
    assert second.sums.drift == pytest.approx(0.39)
    assert second.sums.drifting is False


def test_a_model_that_grows_unsure_drifts_as_soon_as_it_is_known_how_sure_it_was() -> None:
    counter = a_counter()
    for _ in range(LEARN):
        counter.observe(0.001, 1, 0.95)
    assert counter.take(1_700_000_060.0).sums.drift is None
    for _ in range(30):
        counter.observe(0.001, 1, 0.6)
    assert counter.take(1_700_000_120.0).sums.drifting is True


def test_all_classes_of_an_answer_of_several_are_known_to_later_trials() -> None:
    counter = FeedbackCounter("1.0.0", "int8", now_s=0.0)
    counter.observe(0.001, 3, None)
    counter.add_given((3, 7))
    counter.add_given((-1,))
    counter.take(1.0)
    assert counter.given_classes() == {3: 2, 7: 1, -1: 1}
