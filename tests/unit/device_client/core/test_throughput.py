"""Throughput is measured by the download itself, and dropped when it is old."""

from __future__ import annotations

from device_client.core.conditions.readings import Unknown
from device_client.core.download.throughput import OLD_AFTER_S, Throughput, fill_in, kept_one, started
from protocol.messages.manifest import CHUNK_BYTES
from tests.builders import fit_readings


def test_the_pace_is_bytes_over_time_and_pauses_before_a_file_do_not_count() -> None:
    pace = started(Throughput(), 100.0)
    for now_s in (100.5, 101.0, 101.5, 102.0):
        pace = kept_one(pace, now_s)
    assert pace.bytes_s == 2 * CHUNK_BYTES
    pace = started(pace, 500.0)
    pace = kept_one(pace, 504.0)
    assert pace.bytes_s == CHUNK_BYTES / 4


def test_an_old_pace_is_unknown_so_that_a_slow_link_is_tried_again() -> None:
    slow = kept_one(started(Throughput(), 0.0), 10.0)
    readings = fit_readings(throughput_bytes_s=Unknown("not measured here"))
    assert fill_in(slow, readings, 10.0 + OLD_AFTER_S - 1).throughput_bytes_s == CHUNK_BYTES / 10
    later = fill_in(slow, readings, 10.0 + OLD_AFTER_S).throughput_bytes_s
    assert later == fill_in(Throughput(), readings, 0.0).throughput_bytes_s == Unknown("nothing was downloaded of late")


def test_what_a_probe_says_of_the_throughput_is_not_overruled() -> None:
    assert (
        fill_in(
            kept_one(started(Throughput(), 0.0), 10.0), fit_readings(throughput_bytes_s=5.0), 10.0
        ).throughput_bytes_s
        == 5
    )
