"""Each condition with a good reading, a bad one and none; what urgency waives; that every verdict says why."""

from __future__ import annotations

from typing import Any

import pytest

from device_client.core import conditions
from device_client.core.conditions import COMFORT, SAFETY, Condition, Needs, Question, judge
from device_client.core.policy import Thresholds
from device_client.core.readings import Unknown
from tests.builders import fit_readings

GONE = Unknown("the sensor is gone")
MB = 1_000_000

# condition, what is read when all is well, what is read when it is not, and words of the reason
TABLE: list[tuple[Condition, dict[str, Any], dict[str, Any], str]] = [
    (conditions.hold, {"held": ""}, {"held": "a patient is on the table"}, "a patient is on the table"),
    (conditions.battery, {"battery_percent": 30.0}, {"battery_percent": 29.0}, "battery 29 % is under 30 %"),
    (conditions.memory, {"memory_free_bytes": 68 * MB}, {"memory_free_bytes": 12 * MB}, "12 MB is under 67 MB"),
    (conditions.disk, {"disk_free_bytes": 68 * MB}, {"disk_free_bytes": 12 * MB}, "12 MB is under 67 MB"),
    (conditions.cpu, {"cpu_percent": 80.0}, {"cpu_percent": 91.0}, "CPU load 91 % is over 80 %"),
    (conditions.temperature, {"temperature_c": 75.0}, {"temperature_c": 82.0}, "82 °C is over 75 °C"),
    (conditions.metering, {"metered": False}, {"metered": True}, "the link is metered"),
    (conditions.network, {"round_trip_ms": 2_000.0}, {"round_trip_ms": 2_500.0}, "2500 ms is over 2000 ms"),
]
SENSED = [(condition, next(iter(good))) for condition, good, _, _ in TABLE if condition is not conditions.hold]


def test_every_condition_is_in_the_table() -> None:
    assert [condition for condition, *_ in TABLE] == [*SAFETY, *COMFORT]


@pytest.mark.parametrize(("condition", "good", "bad", "words"), TABLE)
def test_a_condition_allows_what_is_good_and_names_what_is_not(
    condition: Condition, good: dict[str, Any], bad: dict[str, Any], words: str
) -> None:
    allowed = condition(Question(fit_readings(**good), Thresholds()))
    assert allowed.allowed
    assert allowed.reason
    refused = condition(Question(fit_readings(**bad), Thresholds()))
    assert not refused.allowed
    assert words in refused.reason


@pytest.mark.parametrize(("condition", "reading"), SENSED)
def test_an_unknown_reading_is_what_the_owner_makes_of_it(condition: Condition, reading: str) -> None:
    unknown = fit_readings(**{reading: GONE})
    allowed = condition(Question(unknown, Thresholds(unknown="allow")))
    deferred = condition(Question(unknown, Thresholds(unknown="defer")))
    assert (allowed.allowed, deferred.allowed) == (True, False)
    assert "the sensor is gone" in allowed.reason
    assert "the sensor is gone" in deferred.reason


@pytest.mark.parametrize(("condition", "bad", "words"), [(row[0], row[2], row[3]) for row in TABLE])
def test_urgency_waives_comfort_and_never_safety(condition: Condition, bad: dict[str, Any], words: str) -> None:
    asked = Question(fit_readings(**bad), Thresholds())
    assert not judge(asked, urgent=False).allowed
    urgent = judge(asked, urgent=True)
    assert urgent.allowed is (condition in COMFORT)
    assert (words in urgent.reason) is (condition in SAFETY)


def test_a_device_on_mains_needs_no_battery() -> None:
    for percent in (0.0, GONE):
        readings = fit_readings(on_mains=True, battery_percent=percent)
        assert conditions.battery(Question(readings, Thresholds(unknown="defer"))).allowed


def test_a_device_that_does_not_know_of_mains_asks_the_battery() -> None:
    readings = fit_readings(on_mains=GONE, battery_percent=5.0)
    assert not conditions.battery(Question(readings, Thresholds())).allowed


def test_a_cellular_link_counts_as_metered_until_something_says_otherwise() -> None:
    cellular = fit_readings(link_kind="cellular", metered=GONE)
    assert not conditions.metering(Question(cellular, Thresholds(unknown="allow"))).allowed
    flat_rate = fit_readings(link_kind="cellular", metered=False)
    assert conditions.metering(Question(flat_rate, Thresholds())).allowed


def test_an_owner_may_allow_metered_links() -> None:
    assert conditions.metering(Question(fit_readings(metered=True), Thresholds(metered_allowed=True))).allowed


def test_what_the_update_itself_needs_comes_on_top_of_the_owners_margin_on_the_disk() -> None:
    free = fit_readings(disk_free_bytes=100 * MB)
    assert conditions.disk(Question(free, Thresholds(disk_min_bytes=60 * MB), Needs(disk_bytes=40 * MB))).allowed
    assert not conditions.disk(Question(free, Thresholds(disk_min_bytes=60 * MB), Needs(disk_bytes=41 * MB))).allowed


def test_memory_must_hold_the_larger_of_the_margin_and_the_candidate() -> None:
    free = fit_readings(memory_free_bytes=100 * MB)
    assert conditions.memory(Question(free, Thresholds(), Needs(memory_bytes=100 * MB))).allowed
    assert not conditions.memory(Question(free, Thresholds(), Needs(memory_bytes=101 * MB))).allowed


def test_a_verdict_without_objection_says_that_all_is_well() -> None:
    assert judge(Question(fit_readings(), Thresholds()), urgent=False).reason == "all conditions hold"
    assert "waived" in judge(Question(fit_readings(), Thresholds()), urgent=True).reason


def test_a_device_that_allows_says_nothing_of_a_hold_or_a_meter() -> None:
    asked = Question(fit_readings(), Thresholds())
    assert conditions.hold(asked).reason == "the application does not hold updates"
    assert conditions.metering(asked).reason == "the link is not metered"
