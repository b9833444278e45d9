"""Windows follow the wall clock, also in the nights when it is changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_client.core.conditions.time_windows import is_open, until_open_s
from device_client.core.policy import TimeWindow

BERLIN = ZoneInfo("Europe/Berlin")  # 2026: ahead on 29 March at 02:00, back on 25 October at 03:00
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # its daylight saving is half an hour
APIA = ZoneInfo("Pacific/Apia")  # it left out 30 December 2011 as a whole
HOUR_S = 3_600.0
AT_TWO = (TimeWindow(120, 180),)  # 02:00-03:00


def at(zone: ZoneInfo, text: str, *, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)


def opens(windows: tuple[TimeWindow, ...], local: datetime) -> str:
    """When the next one opens, as the clock shows it then."""
    later = local.astimezone(UTC) + timedelta(seconds=until_open_s(windows, local))
    return later.astimezone(local.tzinfo).strftime("%d %H:%M:%S %z")


def test_an_ordinary_night_opens_on_the_minute() -> None:
    assert opens(AT_TWO, at(BERLIN, "2026-06-01T23:59:30")) == "02 02:00:00 +0200"
    assert until_open_s(AT_TWO, at(BERLIN, "2026-06-02T01:59:59")) == 1.0
    assert until_open_s(AT_TWO, at(BERLIN, "2026-06-02T02:59:59")) == 0.0
    assert opens(AT_TWO, at(BERLIN, "2026-06-02T03:00:00")) == "03 02:00:00 +0200"


def test_a_window_in_the_hour_that_is_left_out_does_not_come_that_night() -> None:
    eve = at(BERLIN, "2026-03-29T01:30")
    assert opens(AT_TWO, eve) == "30 02:00:00 +0200"
    assert until_open_s(AT_TWO, eve) == 23.5 * HOUR_S


@pytest.mark.parametrize(
    ("window", "opening"),
    [
        (TimeWindow(90, 150), "29 01:30:00 +0100"),  # 01:30-02:30: it ends early
        (TimeWindow(150, 240), "29 03:00:00 +0200"),  # 02:30-04:00: it begins when the clock has jumped
        (TimeWindow(165, 195), "29 03:00:00 +0200"),  # 02:45-03:15
        (TimeWindow(300, 330), "29 05:00:00 +0200"),  # behind the change
    ],
)
def test_a_window_at_the_edge_of_the_hour_left_out_is_open_while_the_clock_shows_it(
    window: TimeWindow, opening: str
) -> None:
    assert opens((window,), at(BERLIN, "2026-03-29T01:00")) == opening


def test_a_window_in_the_hour_that_comes_twice_is_open_twice() -> None:
    assert opens(AT_TWO, at(BERLIN, "2026-10-25T01:00")) == "25 02:00:00 +0200"
    assert is_open(AT_TWO, at(BERLIN, "2026-10-25T02:30", fold=0))
    assert is_open(AT_TWO, at(BERLIN, "2026-10-25T02:30", fold=1))
    assert opens(AT_TWO, at(BERLIN, "2026-10-25T03:00")) == "26 02:00:00 +0100"


def test_a_short_window_in_the_hour_that_comes_twice_opens_again_an_hour_later() -> None:
    quarter = (TimeWindow(120, 135),)  # 02:00-02:15
    assert opens(quarter, at(BERLIN, "2026-10-25T02:20", fold=0)) == "25 02:00:00 +0100"
    assert opens(quarter, at(BERLIN, "2026-10-25T02:20", fold=1)) == "26 02:00:00 +0100"


def test_the_night_of_a_change_is_an_hour_shorter_or_longer() -> None:
    morning = (TimeWindow(6 * 60, 7 * 60),)
    assert until_open_s(morning, at(BERLIN, "2026-03-29T00:00")) == 5 * HOUR_S
    assert until_open_s(morning, at(BERLIN, "2026-10-25T00:00")) == 7 * HOUR_S


def test_zones_that_change_by_half_an_hour_or_leave_a_day_out_are_followed() -> None:
    assert opens((TimeWindow(135, 180),), at(LORD_HOWE, "2026-10-04T01:59")) == "04 02:30:00 +1100"
    assert opens(AT_TWO, at(APIA, "2011-12-29T12:00")) == "31 02:00:00 +1400"


@pytest.mark.parametrize("year", [1970, 2026, 2038, 2100])
def test_windows_open_in_any_year(year: int) -> None:
    assert until_open_s(AT_TWO, datetime(year, 1, 19, 1, 0, tzinfo=UTC)) == HOUR_S


minutes = st.integers(0, 1_439)
zones = st.sampled_from((BERLIN, LORD_HOWE, UTC))
moments = st.builds(
    lambda minute, zone: (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)).astimezone(zone),
    st.integers(0, 366 * 1_440),
    zones,
)


@given(st.lists(st.builds(TimeWindow, minutes, minutes), min_size=1, max_size=3), moments)
def test_the_next_opening_is_open_and_nothing_before_it_is(windows: list[TimeWindow], local: datetime) -> None:
    wait_s = until_open_s(windows, local)

    def later(seconds: float) -> datetime:
        return (local.astimezone(UTC) + timedelta(seconds=seconds)).astimezone(local.tzinfo)

    assert is_open(windows, later(wait_s))
    passed = (seconds for seconds in range(0, int(wait_s), 600))
    assert not any(is_open(windows, later(seconds)) for seconds in passed)
    assert wait_s == 0 or not is_open(windows, later(wait_s - 1))
