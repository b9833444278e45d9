"""Windows add up: in any order, in any grouping, to the same sums."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from device_client.feedback import Counts, Window
from protocol.windows import BUCKET_LAST, bucket

COUNT = st.integers(0, 10**6)
WINDOWS = st.builds(
    Window,
    version=st.just("1.0.0"),
    variant=st.just("int8"),
    start_s=st.floats(0, 2e9),
    end_s=st.floats(0, 2e9),
    inferences=COUNT,
    errors=COUNT,
    labelled=COUNT,
    correct=COUNT,
    classes=st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 100)),
    latency=st.dictionaries(st.integers(0, BUCKET_LAST), st.integers(1, 100)),
    confidence_millionths=st.integers(0, 10**12),
)
ANSWERS = st.lists(st.tuples(st.floats(0, 20), st.integers(0, 5), st.floats(0, 1)), max_size=30)


@given(WINDOWS, WINDOWS)
def test_the_order_of_merging_makes_no_difference(one: Window, two: Window) -> None:
    assert one.merge(two) == two.merge(one)


@given(WINDOWS, WINDOWS, WINDOWS)
def test_the_grouping_of_merging_makes_no_difference(one: Window, two: Window, three: Window) -> None:
    assert one.merge(two).merge(three) == one.merge(two.merge(three))


@given(ANSWERS, st.integers(0, 30))
def test_two_windows_of_one_stretch_make_the_window_of_the_whole(
    answers: list[tuple[float, int, float]], cut_at: int
) -> None:
    whole, split = Counts("1.0.0", "int8", now_s=0.0), Counts("1.0.0", "int8", now_s=0.0)
    for answer in answers:
        whole.observe(*answer)
    for answer in answers[:cut_at]:
        split.observe(*answer)
    first = split.take(5.0)
    for answer in answers[cut_at:]:
        split.observe(*answer)
    assert first.merge(split.take(10.0)) == whole.take(10.0)


@given(st.floats(min_value=0, max_value=10), st.floats(min_value=0, max_value=10))
def test_what_is_slower_never_falls_into_a_lower_bucket(one_s: float, two_s: float) -> None:
    assert (bucket(min(one_s, two_s)) <= bucket(max(one_s, two_s))) is True
