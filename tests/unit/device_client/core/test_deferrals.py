"""Deferrals have a reason and a time, end with their cause, and survive odd clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from device_client.core import effects as do
from device_client.core.conditions.readings import Unknown
from device_client.core.events import ChunkKept, TallyTaken
from device_client.core.policy import Conditional, Periodic, Smart, Strategy, Thresholds, TimeWindow
from device_client.core.state import Comparing, Phase
from device_client.core.state_machine import wake_s
from device_client.core.status import status_of
from device_client.core.strategy.strategies import WAITING_AGE_MAX_S
from protocol.messages.manifest import CHUNK_BYTES
from tests.builders import NOON, a_device, a_hash, a_plan, a_policy, a_tally
from tests.life import LONG_S, Life, only

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Periodic(windows=(TimeWindow(60, 330),))  # 01:00-05:30
ROAD = (Phase.ASSIGNED, Phase.DEFERRED, Phase.FETCHING, Phase.STALLED, Phase.PROVING, Phase.SHADOWING, Phase.PROBATION)


def asked(strategy: Strategy | None = None, **limits: Any) -> Life:
    """A device that runs 1.0.0 and is asked to run 2.0.0."""
    policy = a_policy(strategy=strategy or Conditional(), thresholds=Thresholds(**limits))
    life = Life(a_device(Phase.COMMITTED, live="1.0.0", plan=a_plan("1.0.0")), policy)
    life.plans("2.0.0")
    return life


BETTER: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"battery_percent": 12.0}, {"battery_percent": 80.0}, "battery 12 % is under 30 %"),
    ({"cpu_percent": 97.0}, {"cpu_percent": 20.0}, "CPU load 97 % is over 80 %"),
    ({"metered": True}, {"metered": False}, "the link is metered"),
    ({"temperature_c": 90.0}, {"temperature_c": 50.0}, "temperature 90 °C is over 75 °C"),
    ({"throttled": True}, {"throttled": False}, "the processor is throttled"),
    ({"under_voltage": True}, {"under_voltage": False}, "the supply voltage is too low"),
    ({"held": "demo"}, {"held": ""}, "the application holds updates: demo"),
    ({"battery_percent": 33.0}, {"battery_percent": 35.0}, "battery 33 % is under 35 %, for it was under 30 %"),
]


@pytest.mark.parametrize(("bad", "good", "reason"), BETTER)
def test_a_deferral_says_why_and_when_and_ends_with_its_cause(
    bad: dict[str, Any], good: dict[str, Any], reason: str
) -> None:
    life = asked()
    life.reads(battery_percent=12.0, **{name: value for name, value in bad.items() if name != "battery_percent"})
    life.waits()
    life.reads(**bad)
    said = status_of(life.policy, life.state, at=NOON, next_check=NOON + timedelta(seconds=30))
    assert (said.state, said.next_check) == ("deferred", NOON + timedelta(seconds=30))
    assert reason in said.reason
    assert life.state.moment.next_check_s == life.now_s + 30.0
    life.waits()
    life.reads(**good)
    assert life.phase is Phase.FETCHING


@pytest.mark.parametrize(
    "strategy", [Conditional(recheck_s=2.0), Periodic(every_s=2.0), Smart(2.0, 4.0), Periodic(0.0)]
)
def test_every_look_is_a_look_at_the_device_however_often_it_comes(strategy: Strategy) -> None:
    life = asked(strategy)
    life.reads(cpu_percent=99.0)
    for _ in range(3):
        assert only(do.TakeReadings, life.waits(max(2.0, opens_in_s(life))))
        life.reads(cpu_percent=99.0)
    life.waits(max(2.0, opens_in_s(life)))
    life.reads()
    assert life.phase is Phase.FETCHING


def test_a_download_stops_for_safety_and_goes_on_behind_the_hysteresis() -> None:
    life = asked()
    life.reads(battery_percent=31.0)
    life.reads(battery_percent=29.0)
    assert (life.phase, "battery 29 %" in life.device.reason) == (Phase.DEFERRED, True)
    life.waits()
    life.reads(battery_percent=34.0)
    assert all(datum in life.device.reason for datum in ("battery 34 %", "35 %", "30 %"))
    life.waits()
    life.reads(battery_percent=36.0)
    assert life.phase.value == "fetching"


def test_a_download_does_not_stop_for_comfort() -> None:
    life = asked()
    life.reads()
    life.reads(cpu_percent=100.0, metered=True, temperature_c=99.0)
    assert life.phase is Phase.FETCHING


def test_the_pace_of_a_download_is_what_the_next_one_is_weighed_by() -> None:
    life = asked(throughput_min_bytes_s=2 * CHUNK_BYTES)
    life.reads()
    life.gets_blob()
    life.misses("one", "two", "three")
    for chunk in ("one", "two"):
        life.sees(ChunkKept(a_hash(chunk)), after_s=10.0)
    life.reads(held="demo")
    life.waits()
    life.reads(throughput_bytes_s=Unknown("not measured here"))
    assert all(datum in life.device.reason for datum in ("6.14 kB/s", "123 kB/s"))
    life.waits(900.0)
    life.reads(throughput_bytes_s=Unknown("not measured here"))
    assert life.phase is Phase.FETCHING, "a slow link is tried again"


# windows, and clocks that are wrong


def shows(life: Life, text: str) -> None:
    """The clock on the wall shows this, and it is looked at."""
    life.reads(local_time=datetime.fromisoformat(text).replace(tzinfo=BERLIN))


def opens_in_s(life: Life) -> float:
    assert life.phase is Phase.DEFERRED
    due_s = life.state.moment.next_check_s
    assert due_s is not None
    return due_s - life.now_s


def test_a_window_is_waited_for_and_its_opening_is_told() -> None:
    life = asked(NIGHT)
    shows(life, "2026-06-01T22:00")
    assert "01:00" in life.device.reason
    assert opens_in_s(life) == 3 * 3600
    while life.phase.value == "deferred":
        life.waits()
        passed = timedelta(seconds=life.now_s - 1_000.0)
        life.reads(local_time=(datetime(2026, 6, 1, 20, 0, tzinfo=UTC) + passed).astimezone(BERLIN))
    assert life.phase.value == "fetching"
    assert life.now_s - 1_000.0 == 3 * 3600


def test_the_opening_is_right_across_both_changes_of_the_clock() -> None:
    life = asked(NIGHT)
    shows(life, "2026-03-28T20:00")
    assert opens_in_s(life) == 5 * 3600, "01:00 is still before the change"
    life = asked(Periodic(windows=(TimeWindow(300, 330),)))
    shows(life, "2026-03-28T20:00")
    assert opens_in_s(life) == 8 * 3600
    life = asked(Periodic(windows=(TimeWindow(300, 330),)))
    shows(life, "2026-10-24T20:00")
    assert opens_in_s(life) == 10 * 3600


@pytest.mark.parametrize("was", ["1970-01-01T01:00", "2038-01-19T04:14", "2026-06-01T22:00", "2026-06-01T23:59"])
def test_a_clock_that_is_set_while_the_device_waits_is_noticed_within_minutes(was: str) -> None:
    life = asked(Periodic(windows=(TimeWindow(120, 150),)))
    shows(life, was)
    assert opens_in_s(life) > WAITING_AGE_MAX_S
    assert only(do.TakeReadings, life.waits())
    assert life.now_s == 1_000.0 + WAITING_AGE_MAX_S
    shows(life, "2026-06-02T02:05")  # the time came over the network
    assert life.phase is Phase.FETCHING


def test_a_clock_that_jumps_back_an_hour_makes_the_device_wait_on_and_no_worse() -> None:
    life = asked(NIGHT)
    shows(life, "2026-06-02T00:50")
    life.waits()
    shows(life, "2026-06-01T23:55")
    assert opens_in_s(life) == 65 * 60


def test_readings_that_are_a_little_old_do_not_hold_the_clock_back() -> None:
    life = asked(NIGHT)
    shows(life, "2026-06-02T00:59:50")
    life.waits(10.0)
    assert life.phase is Phase.FETCHING


def test_without_a_local_time_no_window_is_open_and_it_is_looked_for_again() -> None:
    life = asked(NIGHT)
    life.reads(local_time=Unknown("the system's local_time is never"))
    assert "local_time is never" in life.device.reason
    assert opens_in_s(life) == 60.0
    life.plans("2.0.0", urgency="urgent")
    life.reads(local_time=Unknown("still"))
    assert life.phase is Phase.FETCHING, "urgency waits for no window"


# hours as a condition, with any strategy

BY_NIGHT = (TimeWindow(60, 330),)  # 01:00-05:30
KINDS: list[Strategy] = [Conditional(), Periodic(every_s=6 * 3600.0), Smart()]


@pytest.mark.parametrize("kind", KINDS)
def test_with_any_strategy_hours_are_waited_for_and_their_beginning_is_told(kind: Strategy) -> None:
    life = asked(kind, hours=BY_NIGHT)
    since_s = life.now_s
    shows(life, "2026-06-01T22:00")
    assert "01:00" in life.device.reason
    while life.phase is Phase.DEFERRED:
        life.waits()
        passed = timedelta(seconds=life.now_s - since_s)
        life.reads(local_time=(datetime(2026, 6, 1, 20, 0, tzinfo=UTC) + passed).astimezone(BERLIN))
    assert life.phase is Phase.FETCHING
    assert 3 * 3600 <= life.now_s - since_s <= 3 * 3600 + 30.0


@pytest.mark.parametrize("kind", [Periodic(every_s=86_400.0), Smart(43_200.0)])
@pytest.mark.parametrize(("evening", "hours"), [("2026-03-28T20:00", 8), ("2026-10-24T20:00", 10)])
def test_hours_begin_when_the_clock_shows_them_across_both_changes_of_the_clock(
    kind: Strategy, evening: str, hours: int
) -> None:
    life = asked(kind, hours=(TimeWindow(300, 330),))
    shows(life, evening)
    assert opens_in_s(life) == hours * 3600


def test_a_look_outside_of_the_hours_does_not_use_up_the_interval() -> None:
    life = asked(Periodic(every_s=6 * 3600.0), hours=BY_NIGHT)
    shows(life, "2026-06-01T22:00")
    life.waits(3 * 3600.0)
    shows(life, "2026-06-02T01:00")
    assert life.phase is Phase.FETCHING


def test_a_smart_interval_does_not_grow_while_nothing_may_begin() -> None:
    life = asked(Smart(60.0, 86_400.0), hours=BY_NIGHT)
    shows(life, "2026-06-01T10:00")
    first_s = life.state.moment.history.interval_s
    for _ in range(5):
        life.waits()
        shows(life, "2026-06-01T10:05")
    assert life.state.moment.history.interval_s == first_s


@pytest.mark.parametrize("was", ["1970-01-01T01:30", "2026-06-01T12:00"])
def test_a_clock_that_is_set_is_noticed_where_hours_are_set(was: str) -> None:
    life = asked(Periodic(every_s=86_400.0), hours=(TimeWindow(120, 150),))
    shows(life, was)
    assert only(do.TakeReadings, life.waits())
    assert life.now_s <= 1_000.0 + max(WAITING_AGE_MAX_S, 1_800.0)
    shows(life, "2026-06-02T02:05")
    assert life.phase is Phase.FETCHING


def test_an_urgent_plan_waits_for_no_hour_and_an_empty_device_does_not_either() -> None:
    life = asked(hours=BY_NIGHT)
    shows(life, "2026-06-01T12:00")
    life.plans("2.0.0", urgency="urgent")
    shows(life, "2026-06-01T12:00")
    assert life.phase is Phase.FETCHING
    empty = Life(policy=a_policy(thresholds=Thresholds(hours=BY_NIGHT)))
    empty.plans("1.0.0")
    shows(empty, "2026-06-01T12:00")
    assert empty.phase is Phase.FETCHING


def test_a_download_that_has_begun_is_not_cut_off_by_the_hour() -> None:
    life = asked(hours=BY_NIGHT)
    shows(life, "2026-06-02T05:29")
    life.waits(30.0)
    shows(life, "2026-06-02T05:31")
    assert life.phase is Phase.FETCHING


def test_a_battery_that_ran_low_and_then_goes_silent_lets_nothing_begin() -> None:
    life = asked()
    life.reads(battery_percent=12.0)
    life.waits()
    life.reads(battery_percent=Unknown("the sensor is gone"))
    told = "battery is unknown: the sensor is gone; when it was last read it stood in the way"
    assert (life.phase, life.device.reason) == (Phase.DEFERRED, told)
    life.waits()
    life.reads(battery_percent=60.0)
    assert life.phase is Phase.FETCHING


def test_a_candidate_does_not_begin_to_answer_while_the_application_holds() -> None:
    life = asked().goes_to(Phase.SHADOWING, "2.0.0")
    told = "2.0.0 may answer, and waits: the application holds updates: an operation"
    for _ in range(3):
        assert life.counts(held="an operation") == ()
        assert (life.phase, life.live, life.device.reason) == (Phase.SHADOWING, "1.0.0", told)
    life.counts(inputs=0, after_s=1.0)
    assert life.phase is Phase.PROBATION, "time was up long ago"


def test_a_hold_keeps_no_candidate_from_being_refused_and_nothing_on_probation_from_its_verdict() -> None:
    life = asked().goes_to(Phase.SHADOWING, "2.0.0")
    life.counts(held="an operation")
    life.counts(held="an operation", shadow_errors=50)
    assert life.phase is Phase.REJECTED
    life = asked().goes_to(Phase.PROBATION, "2.0.0")
    life.counts(held="an operation", live_errors=50)
    assert (life.phase, life.live) == (Phase.ROLLED_BACK, "1.0.0")


def test_what_is_said_of_a_shadow_is_true_again_when_the_hold_ends_before_the_verdict() -> None:
    life = asked().goes_to(Phase.SHADOWING, "2.0.0")
    said = life.device.reason
    life.sees(TallyTaken(a_tally(), "an operation"), after_s=LONG_S)
    life.state = life.state.with_moment(activity=Comparing(life.now_s, life.now_s))
    life.counts(inputs=0, after_s=1.0)
    assert (life.phase, life.device.reason) == (Phase.SHADOWING, said)


def test_a_device_that_waits_for_nothing_but_time_does_not_look_at_itself() -> None:
    life = asked(Periodic(every_s=6 * 3600.0))
    life.reads(cpu_percent=99.0)
    assert wake_s(life.policy, life.state) == life.now_s + 6 * 3600.0
    life.reads(cpu_percent=98.0)
    assert all(datum in life.device.reason for datum in ("98 %", "80 %", "6.0 h"))


# settings that change in the middle of an update: they are read at the start, so the
# process ends and comes back


def changed(life: Life, **policy: Any) -> None:
    life.policy = a_policy(**policy)
    life.restarts()


@pytest.mark.parametrize("phase", ROAD)
def test_settings_that_change_in_mid_update_lose_nothing(phase: Phase) -> None:
    life = _at(phase)
    changed(life, strategy=NIGHT, thresholds=Thresholds(battery_min_percent=95.0, unknown="defer"))
    assert life.live in ("1.0.0", "2.0.0")
    assert any(isinstance(effect, do.Swap) for effect in life.asked), "something answers"
    changed(life)
    _to_the_end(life)
    assert (life.live, life.previous) == ("2.0.0", "1.0.0")
    assert life.outcomes == [("adopted", "2.0.0", 1)]


def test_a_stricter_limit_stops_a_download_that_was_under_way() -> None:
    life = _at(Phase.FETCHING)
    changed(life, thresholds=Thresholds(battery_min_percent=95.0))
    life.reads(battery_percent=90.0)
    assert all(datum in life.device.reason for datum in ("battery 90 %", "95 %"))
    changed(life)
    life.reads(battery_percent=90.0)
    assert life.phase is Phase.FETCHING


def _at(phase: Phase) -> Life:
    life = Life(a_device(Phase.COMMITTED, live="1.0.0", plan=a_plan("1.0.0")), a_policy())
    return life.goes_to(phase)


def _to_the_end(life: Life) -> None:
    for _ in range(40):
        match life.phase:
            case Phase.ASSIGNED | Phase.DEFERRED | Phase.STALLED:
                life.waits()
                life.reads()
            case Phase.FETCHING:
                life.gets_blob()
            case Phase.PROVING:
                life.proves()
            case Phase.SHADOWING | Phase.PROBATION:
                life.counts()
            case _:
                return
