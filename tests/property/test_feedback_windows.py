"""Windows add up to the same sums in any order and grouping, also as messages."""

from __future__ import annotations

import itertools
import operator
from collections import Counter
from dataclasses import replace
from functools import reduce
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_client.feedback.window import FeedbackWindow, to_message
from device_client.serving.feedback_counter import FeedbackCounter
from protocol.feedback.aggregation import (
    BUCKET_LAST,
    CLASSES_MAX,
    CONFIDENCE_BINS,
    FeedbackSums,
    bucket,
    entropy_bits,
    merge,
    sums_of,
)
from protocol.feedback.input_profile import LEVEL_BINS, InputSample
from protocol.messages.device import Feedback, Sample
from tests.builders import a_feedback

COUNT = st.integers(0, 10**6)
SAMPLES = st.builds(
    Sample,
    inputs=COUNT,
    level_sum=st.integers(-(10**12), 10**12),
    level_squares=st.integers(0, 10**15),
    levels=st.lists(COUNT, min_size=LEVEL_BINS, max_size=LEVEL_BINS).map(tuple),
    distance_sum=st.integers(0, 10**12),
    entropy_sum=st.none() | COUNT,
)
MOMENTS = st.floats(1e5, 2e9)


@st.composite
def sums(draw: st.DrawFn) -> FeedbackSums:
    labelled, compared = draw(COUNT), draw(COUNT)
    return FeedbackSums(
        inferences=draw(COUNT),
        errors=draw(COUNT),
        labelled=labelled,
        correct=draw(st.integers(0, labelled)),
        compared=compared,
        agreed=draw(st.integers(0, compared)),
        classes=draw(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 100))),
        latency=draw(st.dictionaries(st.integers(0, BUCKET_LAST), st.integers(1, 100))),
        confidences=draw(st.just(()) | st.lists(COUNT, min_size=CONFIDENCE_BINS, max_size=CONFIDENCE_BINS).map(tuple)),
        confidence_millionths=draw(st.integers(0, 10**12)),
        drift=draw(st.none() | st.floats(0, 1)),
        drifting=draw(st.none() | st.booleans()),
        sample=draw(st.none() | SAMPLES),
    )


WINDOWS = st.builds(FeedbackWindow, st.just("1.0.0"), st.just("int8"), MOMENTS, MOMENTS, sums())
MESSAGES = WINDOWS.map(lambda window: to_message(window, "pi-1", "digits", "e-1"))
ANSWERS = st.lists(st.tuples(st.floats(0, 20), st.integers(0, 5), st.floats(0, 1)), max_size=600)


@given(sums(), sums())
def test_the_order_of_adding_makes_no_difference(one: FeedbackSums, two: FeedbackSums) -> None:
    assert one + two == two + one


@given(sums(), sums(), sums())
def test_the_grouping_of_adding_makes_no_difference(one: FeedbackSums, two: FeedbackSums, three: FeedbackSums) -> None:
    assert (one + two) + three == one + (two + three)


@given(sums())
def test_a_message_holds_the_sums_that_were_counted(counted: FeedbackSums) -> None:
    read = sums_of(to_message(FeedbackWindow("1.0.0", "int8", 0.0, 60.0, counted), "pi-1", "digits", "e-1"))
    rounded = None if counted.drift is None else round(counted.drift, 4)
    assert read == replace(counted, drift=rounded)


def nameless(message: Feedback) -> Feedback:
    """Every figure; the name of a merged window tells from which ones it was made."""
    return message.model_copy(update={"event_id": ""})


@given(st.lists(MESSAGES, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_messages_in_any_order_and_grouping_make_the_same_message(messages: list[Feedback], random: Random) -> None:
    in_turn = reduce(merge, messages)
    heap = list(messages)
    while len(heap) > 1:
        random.shuffle(heap)
        heap = [merge(heap[0], heap[1]), *heap[2:]]
    assert nameless(heap[0]) == nameless(in_turn)


@given(WINDOWS, WINDOWS)
def test_a_device_and_a_reader_of_its_messages_come_to_the_same_window(
    one: FeedbackWindow, two: FeedbackWindow
) -> None:
    start_s, end_s = min(one.start_s, two.start_s), max(one.end_s, two.end_s)
    whole = FeedbackWindow("1.0.0", "int8", start_s, end_s, one.sums + two.sums)
    ours, theirs, both = (to_message(window, "pi-1", "digits", "e-1") for window in (one, two, whole))
    assert nameless(merge(ours, theirs)) == nameless(both)


@given(MESSAGES, MESSAGES)
def test_a_merged_message_stands_on_the_wire_like_any_other(one: Feedback, two: Feedback) -> None:
    both = merge(one, two)
    assert Feedback.from_line(both.to_line()) == both


@given(st.lists(st.dictionaries(st.integers(0, 200).map(str), st.integers(1, 99), max_size=80), min_size=1, max_size=5))
def test_of_many_classes_the_total_stays_exact(each: list[dict[str, int]]) -> None:
    merged = reduce(merge, (a_feedback(classes=classes) for classes in [{}, *each]))
    assert sum(merged.classes.values()) == sum(sum(classes.values()) for classes in each)
    assert len(merged.classes) <= CLASSES_MAX + 1


@pytest.mark.parametrize(
    "unlike",
    [a_feedback("1.1.0"), a_feedback(device="pi-2"), a_feedback(model="plants"), a_feedback(variant="int8")],
)
def test_windows_of_unlike_subjects_do_not_add_up(unlike: Feedback) -> None:
    with pytest.raises(ValueError, match="cannot be added"):
        merge(a_feedback(), unlike)


def counted(answers: list[tuple[float, int, float]], cuts: list[int]) -> list[FeedbackWindow]:
    """One stream of answers, closed at each cut; every eighth input is sampled."""
    counter = FeedbackCounter("1.0.0", "int8", now_s=0.0, distance=(1.0, 0.3))
    closed = []
    for at, answer in enumerate(answers):
        counter.observe(*answer)
        if at % 8 == 0:
            counter.observe_input(InputSample(at, at % LEVEL_BINS, at * 10), at)
        if at in cuts:
            closed.append(counter.take(float(at)))
    return [*closed, counter.take(float(len(answers)))]


@given(ANSWERS, st.lists(st.integers(0, 599), max_size=5))
def test_the_windows_of_one_stretch_make_the_window_of_the_whole(
    answers: list[tuple[float, int, float]], cuts: list[int]
) -> None:
    parts = [window.sums for window in counted(answers, cuts)]
    assert reduce(operator.add, parts) == counted(answers, [])[0].sums


@given(st.floats(min_value=0, max_value=10), st.floats(min_value=0, max_value=10))
def test_what_is_slower_never_falls_into_a_lower_bucket(one_s: float, two_s: float) -> None:
    assert (bucket(min(one_s, two_s)) <= bucket(max(one_s, two_s))) is True


@given(st.lists(st.integers(0, 1_000), max_size=20))
def test_entropy_lies_between_nothing_and_evenly_spread(counts: list[int]) -> None:
    bits = entropy_bits(counts)
    kinds = sum(count > 0 for count in counts)
    if not kinds:
        assert bits is None
        return
    assert bits is not None
    assert -1e-9 <= bits <= kinds.bit_length() + 1e-9
    assert bits == pytest.approx(0.0) if kinds == 1 else bits > 0
    assert Counter(map(entropy_bits, itertools.islice(itertools.permutations(counts), 5))).most_common(1)[0][0] == bits
