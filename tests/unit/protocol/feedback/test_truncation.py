"""A feedback message that is too long is shortened, and its totals stay exact."""

from __future__ import annotations

import random

import pytest

from device_client.feedback.window import FeedbackWindow, to_message
from device_client.serving.feedback_counter import FeedbackCounter
from protocol.feedback.aggregation import OTHER, merge
from protocol.feedback.input_profile import InputSample
from protocol.feedback.truncation import WINDOW_MAX_BYTES, truncated
from protocol.messages.device import Feedback

FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
KATAKANA = tuple(f"カテゴリー番号{number}" for number in range(1_000))
LONG_NAME = "a-name-as-long-as-a-topic-level-may-be-" + "x" * 25


def a_minute(labels: tuple[str, ...], spread: float) -> FeedbackWindow:
    """330 answers a second; latencies vary by `spread` octaves (standard deviation)."""
    counter = FeedbackCounter("1.0.0", "float32", labels, now_s=1_700_000_000.0, distance=(1.0, 0.3))
    rng = random.Random(7)
    for turn in range(20_000):
        counter.observe(50e-6 * 2 ** rng.gauss(0, spread), rng.randrange(len(labels)), rng.random())
        counter.compare(turn % 50 > 0)
        if turn % 8 == 0:
            counter.observe_input(InputSample(turn % 4_000 - 2_000, turn % 7, 1_300), 400)
    return counter.take(1_700_000_060.0)


def message(labels: tuple[str, ...], spread: float, model: str = "digits") -> Feedback:
    return to_message(a_minute(labels, spread), "greenhouse-pi-4", model, "0123456789abcdef0123")


@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0, 12.0])
@pytest.mark.parametrize("labels", [FASHION, KATAKANA, tuple("0123456789")])
def test_whatever_the_labels_and_latencies_a_window_fits_and_every_total_is_exact(
    labels: tuple[str, ...], spread: float
) -> None:
    whole = message(labels, spread, model=LONG_NAME)
    short = truncated(whole, WINDOW_MAX_BYTES)
    assert len(short.to_line()) <= WINDOW_MAX_BYTES
    assert Feedback.from_line(short.to_line()).to_line() == short.to_line()
    assert sum(short.classes.values()) == sum(short.latency_histogram.values()) == 20_000
    shortened = {"classes", "latency_histogram"}
    assert short.model_dump(exclude=shortened) == whole.model_dump(exclude=shortened), (
        "the figures are those of the whole"
    )


def test_what_fits_is_left_alone() -> None:
    whole = message(tuple("0123456789"), 0.3)
    assert truncated(whole, WINDOW_MAX_BYTES) is whole


def test_the_most_frequent_classes_keep_their_names_longest() -> None:
    window = message(KATAKANA, 0.3)
    named = [name for name in truncated(window, 2_048).classes if name != OTHER]
    assert 0 < len(named) < 64
    assert named == list(window.classes)[: len(named)]


def test_windows_that_were_shortened_add_up() -> None:
    one, other = (truncated(message(labels, 3.0), WINDOW_MAX_BYTES) for labels in (FASHION, FASHION[:3]))
    both = merge(one, other)
    assert sum(both.classes.values()) == sum(both.latency_histogram.values()) == 40_000
