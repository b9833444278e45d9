"""When an allowed update begins: windows, periods, conditions that must have held."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from device_client.core.conditions.conditions import Verdict
from device_client.core.policy import Conditional, Periodic, TimeWindow
from device_client.core.strategy.strategies import Occasion, decide
from tests.builders import NOON

YES, NO = Verdict(True, "all conditions hold"), Verdict(False, "CPU load 91 % is over 80 %")
NIGHT = TimeWindow(23 * 60, 5 * 60)
NOON_MINUTE = 12 * 60


def at(minute: int) -> datetime:
    return NOON.replace(hour=minute // 60, minute=minute % 60)


def an_occasion(verdict: Verdict = YES, **more: Any) -> Occasion:
    fields: dict[str, Any] = {
        "now_s": 10_000.0,
        "local_time": NOON,
        "checked_at_s": None,
        "allowed_since_s": None,
        "urgent": False,
    }
    return Occasion(verdict=verdict, **(fields | more))


@pytest.mark.parametrize(
    ("window", "minute", "inside"),
    [
        (TimeWindow(60, 120), 59, False),
        (TimeWindow(60, 120), 60, True),
        (TimeWindow(60, 120), 119, True),
        (TimeWindow(60, 120), 120, False),
        (NIGHT, 23 * 60, True),
        (NIGHT, 0, True),
        (NIGHT, 5 * 60 - 1, True),
        (NIGHT, 5 * 60, False),
        (NIGHT, NOON_MINUTE, False),
        (TimeWindow(0, 0), NOON_MINUTE, True),  # 00:00-24:00
        (TimeWindow(60, 60), 59, True),
    ],
)
def test_a_window_holds_its_minutes_also_over_midnight(window: TimeWindow, minute: int, inside: bool) -> None:
    assert window.holds(minute) is inside


def test_outside_the_windows_nothing_begins_and_the_next_opening_is_told() -> None:
    decision = decide(Periodic(windows=(NIGHT, TimeWindow(13 * 60, 14 * 60))), an_occasion())
    assert not decision.begin
    assert "13:00" in decision.reason
    assert decision.next_check_s == 10_000.0 + 3_600.0
    assert not decision.checked


def test_inside_a_window_the_conditions_decide_and_are_asked_again_soon() -> None:
    night = an_occasion(local_time=at(30))
    assert decide(Periodic(windows=(NIGHT,)), night).begin
    refused = decide(Periodic(windows=(NIGHT,)), an_occasion(NO, local_time=at(30)))
    assert (refused.begin, refused.reason, refused.next_check_s) == (False, NO.reason, 10_060.0)


def test_a_window_is_a_look_as_often_as_one_likes_whenever_the_last_was() -> None:
    assert decide(Periodic(windows=(NIGHT,)), an_occasion(local_time=at(30), checked_at_s=9_999.0)).begin


def test_a_period_is_waited_for_from_the_last_look() -> None:
    every_hour = Periodic(every_s=3_600.0)
    assert decide(every_hour, an_occasion()).begin  # the first look
    early = decide(every_hour, an_occasion(checked_at_s=9_000.0))
    assert (early.begin, early.checked, early.next_check_s) == (False, False, 12_600.0)
    assert early.reason == "looks every 60 min"
    assert decide(every_hour, an_occasion(checked_at_s=6_400.0)).begin


def test_a_periodic_look_at_a_bad_moment_waits_a_whole_period() -> None:
    refused = decide(Periodic(every_s=3_600.0), an_occasion(NO))
    assert (refused.begin, refused.checked, refused.next_check_s) == (False, True, 13_600.0)


@pytest.mark.parametrize("strategy", [Periodic(windows=(NIGHT,)), Periodic(every_s=3_600.0), Conditional(hold_s=600.0)])
def test_urgency_waits_for_no_window_no_period_and_no_holding(strategy: Periodic | Conditional) -> None:
    assert decide(strategy, an_occasion(urgent=True, checked_at_s=9_999.0)).begin


@pytest.mark.parametrize("strategy", [Periodic(windows=(NIGHT,)), Periodic(every_s=3_600.0), Conditional()])
def test_urgency_still_wants_the_conditions_to_allow_it_and_looks_again_within_a_minute(
    strategy: Periodic | Conditional,
) -> None:
    decision = decide(strategy, an_occasion(NO, urgent=True))
    assert not decision.begin
    assert 10_000.0 < decision.next_check_s <= 10_060.0


def test_conditional_begins_at_once_when_nothing_must_have_held() -> None:
    assert decide(Conditional(), an_occasion()).begin


def test_conditional_looks_again_after_its_pause_when_it_may_not() -> None:
    decision = decide(Conditional(recheck_s=45.0), an_occasion(NO))
    assert (decision.begin, decision.reason, decision.next_check_s) == (False, NO.reason, 10_045.0)


@pytest.mark.parametrize(
    ("since_s", "begin", "next_check_s"),
    [(None, False, 10_030.0), (9_950.0, False, 10_030.0), (9_890.0, False, 10_010.0), (9_880.0, True, 10_000.0)],
)
def test_conditions_must_have_held_as_long_as_the_owner_says(
    since_s: float | None, begin: bool, next_check_s: float
) -> None:
    decision = decide(Conditional(hold_s=120.0, recheck_s=30.0), an_occasion(allowed_since_s=since_s))
    assert (decision.begin, decision.next_check_s) == (begin, next_check_s)
    assert begin or "2 min" in decision.reason


@pytest.mark.parametrize(
    ("every_s", "told"), [(90.0, "looks every 90 s"), (5_400.0, "looks every 90 min"), (21_600.0, "looks every 6.0 h")]
)
def test_spans_are_told_in_the_unit_that_a_person_would_use(every_s: float, told: str) -> None:
    assert decide(Periodic(every_s=every_s), an_occasion(checked_at_s=10_000.0)).reason == told
