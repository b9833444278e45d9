"""Latency buckets and the percentiles that are read from them."""

from __future__ import annotations

import pytest

from protocol.feedback.aggregation import BUCKET_LAST, bucket, percentile_ms


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
