"""The version for a device: the first rule that matches, and nested cohorts."""

from __future__ import annotations

import json

import pytest

from protocol.errors import BadInput
from protocol.messages.plan import Plan, cohort
from tests.builders import a_plan, a_rule

FLEET = [f"pi-{number}" for number in range(4_000)]


def test_the_first_rule_that_matches_wins() -> None:
    plan = a_plan(
        rules=[a_rule("3.0.0", devices=("pi-1", "pi-2")), a_rule("2.0.0", groups=("canary",)), a_rule("1.0.0")]
    )
    assigned = [plan.assign("pi-1", ("canary",)), plan.assign("pi-3", ("lab", "canary")), plan.assign("pi-3", ("lab",))]
    assert [a.version for a in assigned if a] == ["3.0.0", "2.0.0", "1.0.0"]
    assert [a.rule for a in assigned if a] == ["device pi-1, pi-2", "group canary", "every device"]


def test_a_device_that_no_rule_matches_stays_as_it_is() -> None:
    assert a_plan(rules=[a_rule(devices=("pi-1",))]).assign("pi-2") is None
    assert a_plan(None).assign("pi-1") is None


def test_all_that_a_rule_names_must_hold() -> None:
    rule = a_rule(devices=("pi-1", "pi-2"), groups=("canary",), percent=100)
    assert rule.matches("pi-1", ("canary",))
    assert not rule.matches("pi-1", ())
    assert not rule.matches("pi-3", ("canary",))
    assert not a_rule(devices=("pi-1",), percent=0).matches("pi-1", ())


def test_cohorts_are_nested_as_the_percentage_grows() -> None:
    earlier: set[str] = set()
    for percent in (0, 0.5, 1, 5, 10, 25, 50, 99.5, 100):
        chosen = {device for device in FLEET if a_rule(percent=percent, salt="digits 2").matches(device, ())}
        assert earlier <= chosen
        assert len(chosen) / len(FLEET) * 100 == pytest.approx(percent, abs=2.5)
        earlier = chosen
    assert earlier == set(FLEET)


def test_cohorts_of_different_releases_are_independent() -> None:
    one, two = ({device for device in FLEET if cohort(salt, device) < 10} for salt in ("digits 1.1", "digits 1.2"))
    assert len(one & two) / len(FLEET) * 100 == pytest.approx(1, abs=0.6)


def test_a_cohort_is_the_same_on_every_machine() -> None:
    assert cohort("digits 1.0.0", "pi-1") == pytest.approx(78.227, abs=0.001)


def test_salt_and_device_cannot_be_shifted_into_each_other() -> None:
    assert cohort("ab", "c") != cohort("a", "bc")


def test_the_versions_of_a_plan_come_once_each_in_the_order_of_the_rules() -> None:
    plan = a_plan(rules=[a_rule("2.0.0", devices=("pi-1",)), a_rule("1.0.0", groups=("lab",)), a_rule("2.0.0")])
    assert plan.versions() == ("2.0.0", "1.0.0")


def test_an_attempt_travels_to_the_device() -> None:
    assigned = a_plan(rules=[a_rule("1.0.0", attempt=3)]).assign("pi-1")
    assert assigned is not None
    assert assigned.attempt == 3


def test_a_long_rule_is_described_in_short() -> None:
    rule = a_rule(devices=tuple(FLEET[:50]), groups=("a", "b"), percent=12.5)
    assert rule.describe() == "device pi-0, pi-1, pi-2 … in group a, b in 12.5 % of the fleet"


def test_devices_start_spread_over_the_time_that_the_plan_gives() -> None:
    plan = a_plan(spread_s=3600)
    delays_s = [plan.start_delay_s(device) for device in FLEET]
    assert all(0 <= delay_s < 3600 for delay_s in delays_s)
    assert sum(delay_s < 900 for delay_s in delays_s) == pytest.approx(len(FLEET) / 4, rel=0.15)
    assert plan.start_delay_s("pi-1") == plan.start_delay_s("pi-1")
    assert plan.start_delay_s("pi-1") != a_plan(spread_s=3600, sequence=2).start_delay_s("pi-1")
    assert a_plan().start_delay_s("pi-1") == 0


def test_a_plan_survives_the_wire() -> None:
    plan = a_plan(rules=[a_rule("1.1.0", percent=33.3, salt="ü", groups=("a",)), a_rule("1.0.0")], hold=True)
    assert Plan.from_line(plan.to_line()) == plan


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "Digits"),
        ("sequence", 0),
        ("urgency", "panic"),
        ("spread_s", 8 * 86_400),
        ("rules", [{"version": "1.0.0", "percent": 101}]),
        ("rules", [{"version": "../1"}]),
        ("rules", [{"version": "1.0.0", "devices": ["a/b"]}]),
        ("rules", [{"version": "1.0.0"}] * 201),
        ("created", "2026-06-01T12:00:00"),
    ],
)
def test_a_plan_with_a_wrong_field_is_refused_and_the_field_named(field: str, value: object) -> None:
    plan = a_plan().model_dump(mode="json") | {field: value}
    with pytest.raises(BadInput, match=rf": {field}\b"):
        Plan.from_line(json.dumps(plan).encode())
