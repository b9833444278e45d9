"""Each condition with a good reading, a bad one and none; and what urgency waives."""

from __future__ import annotations

from typing import Any

import pytest

from device_client.core.conditions import conditions
from device_client.core.conditions.conditions import COMFORT, SAFETY, Condition, ConditionQuery, Needs, judge
from device_client.core.conditions.readings import Readings, Unknown
from device_client.core.policy import Thresholds, TimeWindow, UnknownOf
from tests.builders import fit_readings

GONE = Unknown("the sensor is gone")
MB = 1_000_000

# condition, a good reading, a bad one, and words of the reason
TABLE: list[tuple[Condition, dict[str, Any], dict[str, Any], str]] = [
    (conditions.hold, {"held": ""}, {"held": "a patient is on the table"}, "a patient is on the table"),
    (conditions.throttling, {"throttled": False}, {"throttled": True}, "the processor is throttled"),
    (conditions.voltage, {"under_voltage": False}, {"under_voltage": True}, "the supply voltage is too low"),
    (conditions.battery, {"battery_percent": 30.0}, {"battery_percent": 29.0}, "battery 29 % is under 30 %"),
    (conditions.memory, {"memory_free_bytes": 68 * MB}, {"memory_free_bytes": 12 * MB}, "12 MB is under 67.1 MB"),
    (conditions.disk, {"disk_free_bytes": 68 * MB}, {"disk_free_bytes": 12 * MB}, "12 MB is under 67.1 MB"),
    (conditions.cpu, {"cpu_percent": 80.0}, {"cpu_percent": 91.0}, "CPU load 91 % is over 80 %"),
    (conditions.temperature, {"temperature_c": 75.0}, {"temperature_c": 82.0}, "82 °C is over 75 °C"),
    (conditions.metering, {"metered": False}, {"metered": True}, "the link is metered"),
    (
        conditions.signal,
        {"wifi_signal_dbm": -85.0},
        {"wifi_signal_dbm": -91.0},
        "Wi-Fi signal -91 dBm is under -85 dBm",
    ),
    (conditions.network, {"round_trip_ms": 2_000.0}, {"round_trip_ms": 2_500.0}, "2500 ms is over 2000 ms"),
    (conditions.throughput, {"throughput_bytes_s": 9e4}, {"throughput_bytes_s": 8e4}, "80 kB/s is under 90 kB/s"),
    (conditions.hours, {"local_minute": 23 * 60}, {"local_minute": 12 * 60}, "the next begin at 22:00 local time"),
]
ON_WIFI: dict[str, Any] = {"link_kind": "wifi", "wifi_signal_dbm": -50.0}
AT_NIGHT = Thresholds(hours=(TimeWindow(22 * 60, 6 * 60),))
SLOW_IS_BAD = Thresholds(throughput_min_bytes_s=90_000, hours=AT_NIGHT.hours)
WITHOUT_UNKNOWN = (conditions.hold, conditions.throughput, conditions.hours)  # the last: see below
SENSED = [(condition, next(iter(good))) for condition, good, _, _ in TABLE if condition not in WITHOUT_UNKNOWN]


def on_wifi(**readings: Any) -> Readings:
    return fit_readings(**(ON_WIFI | readings))


def test_every_condition_is_in_the_table() -> None:
    assert [condition for condition, *_ in TABLE] == [*SAFETY, *COMFORT]


@pytest.mark.parametrize(("condition", "good", "bad", "words"), TABLE)
def test_a_condition_allows_what_is_good_and_names_what_is_not(
    condition: Condition, good: dict[str, Any], bad: dict[str, Any], words: str
) -> None:
    allowed = condition(ConditionQuery(on_wifi(**good), SLOW_IS_BAD))
    assert allowed.allowed
    assert allowed.reason
    refused = condition(ConditionQuery(on_wifi(**bad), SLOW_IS_BAD))
    assert not refused.allowed
    assert words in refused.reason


@pytest.mark.parametrize(("condition", "reading"), SENSED)
def test_an_unknown_reading_is_what_the_owner_makes_of_it(condition: Condition, reading: str) -> None:
    unknown = on_wifi(**{reading: GONE})
    allowed = condition(ConditionQuery(unknown, Thresholds(unknown="allow")))
    deferred = condition(ConditionQuery(unknown, Thresholds(unknown="defer")))
    assert (allowed.allowed, deferred.allowed) == (True, False)
    this_one: Any = {condition.__name__: "defer"}
    assert not condition(ConditionQuery(unknown, Thresholds(unknown_of=UnknownOf(**this_one)))).allowed
    this_one = {condition.__name__: "allow"}
    assert condition(ConditionQuery(unknown, Thresholds(unknown="defer", unknown_of=UnknownOf(**this_one)))).allowed
    assert "the sensor is gone" in allowed.reason
    assert "the sensor is gone" in deferred.reason


@pytest.mark.parametrize(("condition", "bad", "words"), [(row[0], row[2], row[3]) for row in TABLE])
def test_urgency_waives_comfort_and_never_safety(condition: Condition, bad: dict[str, Any], words: str) -> None:
    asked = ConditionQuery(on_wifi(**bad), SLOW_IS_BAD)
    assert not judge(asked, urgent=False).allowed
    urgent = judge(asked, urgent=True)
    assert urgent.allowed is (condition in COMFORT)
    assert (words in urgent.reason) is (condition in SAFETY)


def test_a_device_on_mains_needs_no_battery() -> None:
    for percent in (0.0, GONE):
        readings = fit_readings(on_mains=True, battery_percent=percent)
        assert conditions.battery(ConditionQuery(readings, Thresholds(unknown="defer"))).allowed


def test_a_device_that_does_not_know_of_mains_asks_the_battery() -> None:
    readings = fit_readings(on_mains=GONE, battery_percent=5.0)
    assert not conditions.battery(ConditionQuery(readings, Thresholds())).allowed


def test_a_cellular_link_counts_as_metered_until_something_says_otherwise() -> None:
    cellular = fit_readings(link_kind="cellular", metered=GONE)
    assert not conditions.metering(ConditionQuery(cellular, Thresholds(unknown="allow"))).allowed
    flat_rate = fit_readings(link_kind="cellular", metered=False)
    assert conditions.metering(ConditionQuery(flat_rate, Thresholds())).allowed


def test_an_owner_may_allow_metered_links() -> None:
    assert conditions.metering(ConditionQuery(fit_readings(metered=True), Thresholds(metered_allowed=True))).allowed


def test_what_the_update_itself_needs_comes_on_top_of_the_owners_margin_on_the_disk() -> None:
    free = fit_readings(disk_free_bytes=100 * MB)
    assert conditions.disk(ConditionQuery(free, Thresholds(disk_min_bytes=60 * MB), Needs(disk_bytes=40 * MB))).allowed
    assert not conditions.disk(
        ConditionQuery(free, Thresholds(disk_min_bytes=60 * MB), Needs(disk_bytes=41 * MB))
    ).allowed


def test_memory_must_hold_the_larger_of_the_margin_and_the_candidate() -> None:
    free = fit_readings(memory_free_bytes=100 * MB)
    assert conditions.memory(ConditionQuery(free, Thresholds(), Needs(memory_bytes=100 * MB))).allowed
    assert not conditions.memory(ConditionQuery(free, Thresholds(), Needs(memory_bytes=101 * MB))).allowed


def test_a_verdict_without_objection_says_that_all_is_well() -> None:
    assert judge(ConditionQuery(fit_readings(), Thresholds()), urgent=False).reason == "all conditions hold"
    assert "waived" in judge(ConditionQuery(fit_readings(), Thresholds()), urgent=True).reason


def test_a_device_that_allows_says_nothing_of_a_hold_or_a_meter() -> None:
    asked = ConditionQuery(fit_readings(), Thresholds())
    assert conditions.hold(asked).reason == "the application does not hold updates"
    assert conditions.metering(asked).reason == "the link is not metered"


def test_a_wired_device_has_no_signal_and_lacks_none() -> None:
    wired = fit_readings(link_kind="ethernet", wifi_signal_dbm=GONE)
    assert conditions.signal(ConditionQuery(wired, Thresholds(unknown="defer"))).reason == "the link is ethernet"


def test_a_device_that_has_not_downloaded_yet_is_not_kept_from_it() -> None:
    untried = fit_readings(throughput_bytes_s=GONE)
    assert conditions.throughput(ConditionQuery(untried, Thresholds(unknown="defer", throughput_min_bytes_s=1))).allowed


ROOM = Thresholds(memory_min_bytes=100, memory_hysteresis_bytes=20, disk_min_bytes=100, disk_hysteresis_bytes=20)
# reading by reading; each look remembers only what the look before told
WAVERING: list[tuple[str, Thresholds, list[tuple[float, bool]]]] = [
    ("battery_percent", Thresholds(), [(30, True), (29, False), (31, False), (34, False), (35, True), (31, True)]),
    ("cpu_percent", Thresholds(), [(80, True), (81, False), (76, False), (75, True), (79, True), (81, False)]),
    ("temperature_c", Thresholds(), [(75, True), (76, False), (71, False), (70, True), (74, True)]),
    ("round_trip_ms", Thresholds(), [(2_000, True), (2_001, False), (1_501, False), (1_500, True), (1_900, True)]),
    ("wifi_signal_dbm", Thresholds(), [(-85, True), (-86, False), (-83, False), (-82, True), (-85, True)]),
    ("memory_free_bytes", ROOM, [(99, False), (119, False), (120, True), (100, True)]),
    ("disk_free_bytes", ROOM, [(99, False), (119, False), (120, True), (100, True)]),
    ("battery_percent", Thresholds(battery_min_percent=98), [(97, False), (99, False), (100, True)]),  # never over 100
    ("cpu_percent", Thresholds(cpu_max_percent=4), [(5, False), (3, False), (2, True)]),  # never under 0
    ("round_trip_ms", Thresholds(round_trip_max_ms=100), [(101, False), (51, False), (50, True)]),
]  # fmt: skip


@pytest.mark.parametrize(("reading", "limits", "looks"), WAVERING)
def test_a_limit_that_was_crossed_must_be_left_well_behind(
    reading: str, limits: Thresholds, looks: list[tuple[float, bool]]
) -> None:
    crossed: frozenset[str] = frozenset()
    for value, allowed in looks:
        verdict = judge(ConditionQuery(on_wifi(**{reading: value}), limits, crossed=crossed), urgent=False)
        assert verdict.allowed is allowed, (value, verdict.reason)
        crossed = verdict.crossed


def test_the_way_back_over_a_limit_is_told() -> None:
    low = judge(ConditionQuery(fit_readings(battery_percent=12.0), Thresholds()), urgent=False)
    back = judge(ConditionQuery(fit_readings(battery_percent=33.0), Thresholds(), crossed=low.crossed), urgent=False)
    assert low.reason == "battery 12 % is under 30 %"
    assert back.reason == "battery 33 % is under 35 %, for it was under 30 %"


def test_a_limit_is_remembered_also_while_another_condition_gives_the_reason() -> None:
    verdict = judge(ConditionQuery(fit_readings(held="demo", cpu_percent=99.0), Thresholds()), urgent=True)
    assert verdict.reason == "the application holds updates: demo"
    assert verdict.crossed == {"cpu"}


SILENT: list[tuple[str, Any, str]] = [
    ("battery_percent", 12.0, "battery is unknown: the sensor is gone; when it was last read it stood in the way"),
    ("memory_free_bytes", MB, "free memory is unknown: the sensor is gone; when it was last read it stood in the way"),
    ("disk_free_bytes", MB, "free disk is unknown: the sensor is gone; when it was last read it stood in the way"),
    ("throttled", True, "throttling is unknown: the sensor is gone; when it was last read it stood in the way"),
    ("under_voltage", True, "the supply voltage is unknown: the sensor is gone; when it was last read it stood in"),
]


@pytest.mark.parametrize(("reading", "bad", "words"), SILENT)
def test_a_danger_that_goes_silent_is_not_over(reading: str, bad: object, words: str) -> None:
    seen = judge(ConditionQuery(on_wifi(**{reading: bad}), Thresholds()), urgent=True)
    gone = on_wifi(**{reading: GONE})
    for _ in range(2):
        assert not seen.allowed
        seen = judge(ConditionQuery(gone, Thresholds(), crossed=seen.crossed), urgent=True)
        assert words in seen.reason
    assert judge(ConditionQuery(fit_readings(), Thresholds(), crossed=seen.crossed), urgent=True).allowed


def test_an_owner_who_lets_this_very_reading_pass_lets_it_pass() -> None:
    limits = Thresholds(unknown_of=UnknownOf(battery="allow"))
    asked = ConditionQuery(fit_readings(battery_percent=GONE), limits, crossed=frozenset({"battery"}))
    assert judge(asked, urgent=False).allowed


def test_comfort_that_goes_silent_is_what_the_owner_makes_of_it() -> None:
    asked = ConditionQuery(fit_readings(cpu_percent=GONE), Thresholds(), crossed=frozenset({"cpu"}))
    assert judge(asked, urgent=False).allowed


def test_any_hour_will_do_where_none_is_named() -> None:
    verdict = conditions.hours(ConditionQuery(fit_readings(local_time=GONE), Thresholds(unknown="defer")))
    assert (verdict.allowed, verdict.reason) == (True, "no hours are set for updates")


@pytest.mark.parametrize(("limits", "allowed"), [
    (Thresholds(hours=AT_NIGHT.hours), True),
    (Thresholds(hours=AT_NIGHT.hours, unknown="defer"), False),
    (Thresholds(hours=AT_NIGHT.hours, unknown_of=UnknownOf(hours="defer")), False),
])  # fmt: skip
def test_a_clock_that_cannot_be_read_is_what_the_owner_makes_of_it(limits: Thresholds, allowed: bool) -> None:
    verdict = conditions.hours(ConditionQuery(fit_readings(local_time=GONE), limits))
    assert (verdict.allowed, verdict.reason) == (allowed, "the local time is unknown: the sensor is gone")


def test_hours_that_are_closed_say_when_they_open_and_how_long_that_is() -> None:
    verdict = judge(ConditionQuery(fit_readings(local_minute=12 * 60), AT_NIGHT), urgent=False)
    assert verdict.reason == "outside the hours for updates; the next begin at 22:00 local time"
    assert verdict.opens_in_s == 10 * 3600
    busy = judge(ConditionQuery(fit_readings(local_minute=12 * 60, cpu_percent=99.0), AT_NIGHT), urgent=False)
    assert (busy.reason, busy.opens_in_s) == ("CPU load 99 % is over 80 %", 10 * 3600)
    assert judge(ConditionQuery(fit_readings(local_minute=23 * 60), AT_NIGHT), urgent=False).opens_in_s is None


def test_what_was_unknown_has_crossed_no_limit() -> None:
    verdict = judge(ConditionQuery(fit_readings(battery_percent=GONE), Thresholds(unknown="defer")), urgent=False)
    assert not verdict.allowed
    assert verdict.crossed == frozenset()
