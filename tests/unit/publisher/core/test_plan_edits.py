"""Edits of a plan: who runs what after each, and what can be taken back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from protocol.errors import BadInput, BadName, UnknownVersion
from protocol.messages.plan import Plan
from publisher.core.rollout import plan_edits
from publisher.core.rollout.audience import Audience
from tests.builders import NOON, a_plan, a_rule

EVERYBODY = Audience()
FLEET = tuple(f"pi-{number}" for number in range(200))


def released(plan: Plan | None, version: str, audience: Audience = EVERYBODY, spread_s: int = 0) -> Plan:
    return plan_edits.release(plan, "digits", version, audience, NOON, urgency="routine", spread_s=spread_s)


def runs(plan: Plan, device: str = "pi-1", *groups: str) -> str | None:
    assigned = plan.assign(device, groups)
    return assigned.version if assigned else None


def share_of(plan: Plan, version: str) -> float:
    return sum(runs(plan, device) == version for device in FLEET) / len(FLEET)


@pytest.mark.parametrize(
    ("text", "audience"),
    [
        ("all", EVERYBODY),
        ("100%", EVERYBODY),
        ("10%", Audience(percent=10)),
        ("0.5%", Audience(percent=0.5)),
        ("group:kitchen", Audience(group="kitchen")),
    ],
)
def test_an_audience_is_read_as_it_is_written(text: str, audience: Audience) -> None:
    assert Audience.parse(text) == audience


@pytest.mark.parametrize(
    "text", ["", "some", "10", "0%", "-1%", "101%", "nan%", "inf%", "10%%", "group:", "group:a b", "%"]
)
def test_an_audience_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        Audience.parse(text)


def test_the_first_release_goes_to_everybody() -> None:
    plan = released(None, "1.0.0")
    assert (plan.sequence, runs(plan), plan.history[-1].what) == (1, "1.0.0", "1.0.0 to every device")


def test_a_release_to_a_share_leaves_the_others_on_what_they_have() -> None:
    plan = released(released(None, "1.0.0"), "1.1.0", Audience(percent=25))
    assert {runs(plan, device) for device in FLEET} == {"1.0.0", "1.1.0"}
    assert 0.1 < share_of(plan, "1.1.0") < 0.4


def test_a_release_to_a_share_takes_no_earlier_rollout_back() -> None:
    first = released(released(None, "1.0.0"), "1.1.0", Audience(group="kitchen"))
    second = released(first, "1.2.0", Audience(group="garden"))
    assert runs(second, "pi-1", "kitchen") == "1.1.0"
    assert runs(second, "pi-1", "garden") == "1.2.0"
    assert runs(second) == "1.0.0"


def test_a_release_to_everybody_ends_earlier_rollouts_and_keeps_pins() -> None:
    plan = plan_edits.pin(released(None, "1.0.0"), "1.0.0", ("pi-7",), NOON)
    plan = released(released(plan, "1.1.0", Audience(percent=10)), "1.2.0")
    assert runs(plan, "pi-7") == "1.0.0"
    assert {runs(plan, device) for device in FLEET} - {"1.0.0"} == {"1.2.0"}
    assert plan.versions() == ("1.0.0", "1.2.0")


def test_a_release_lifts_a_hold() -> None:
    plan = plan_edits.hold(released(None, "1.0.0"), NOON)
    assert not released(plan, "1.1.0").hold


def test_a_plan_of_pins_alone_takes_a_release() -> None:
    pins = a_plan(rules=[a_rule("1.0.0", devices=("pi-7",))])
    assert runs(released(pins, "1.1.0")) == "1.1.0"


def test_widening_never_takes_the_version_from_who_has_it() -> None:
    plan = released(released(None, "1.0.0"), "1.1.0", Audience(group="canary"))
    wider = plan_edits.advance(plan, Audience(percent=20), NOON)
    assert runs(wider, "pi-1", "canary") == "1.1.0"
    before = {device for device in FLEET if runs(wider, device) == "1.1.0"}
    widest = plan_edits.advance(wider, Audience(percent=60), NOON)
    assert before < {device for device in FLEET if runs(widest, device) == "1.1.0"}
    assert runs(widest, "pi-1", "canary") == "1.1.0"
    assert plan_edits.advance(widest, EVERYBODY, NOON).rules == (a_rule("1.1.0"),)


def test_a_group_is_added_to_a_share() -> None:
    plan = released(released(None, "1.0.0"), "1.1.0", Audience(percent=20))
    wider = plan_edits.advance(plan, Audience(group="kitchen"), NOON)
    assert share_of(wider, "1.1.0") == share_of(plan, "1.1.0")
    assert runs(wider, FLEET[0], "kitchen") == "1.1.0"


@pytest.mark.parametrize("audience", [Audience(percent=10), Audience(percent=99.0), Audience(group="kitchen")])
def test_an_audience_does_not_shrink(audience: Audience) -> None:
    plan = released(released(None, "1.0.0"), "1.1.0")
    with pytest.raises(BadInput, match=r"1\.1\.0 .*every device"):
        plan_edits.advance(plan, audience, NOON)


def test_going_back_recalls_the_version_from_everybody_at_once() -> None:
    plan = released(released(None, "1.0.0"), "1.1.0", Audience(percent=10), spread_s=3_600)
    back = plan_edits.roll_back(plan_edits.hold(plan, NOON), None, NOON)
    assert {runs(back, device) for device in FLEET} == {"1.0.0"}
    assert (back.urgency, back.hold, back.spread_s, back.sequence) == ("urgent", False, 0, 4)


def test_going_back_twice_does_not_bring_the_bad_version_again() -> None:
    plan = released(released(None, "1.0.0"), "1.1.0")
    once = plan_edits.roll_back(plan, None, NOON)
    with pytest.raises(UnknownVersion, match=r"1\.0\.0"):
        plan_edits.roll_back(once, None, NOON)


def test_after_going_back_the_next_release_goes_back_to_the_good_one() -> None:
    plan = plan_edits.roll_back(released(released(None, "1.0.0"), "1.1.0"), None, NOON)
    assert plan_edits.predecessor(released(plan, "1.2.0"), "1.2.0") == "1.0.0"


def test_pins_on_the_recalled_version_are_lifted_and_others_stay() -> None:
    plan = released(released(None, "1.0.0"), "1.1.0")
    plan = plan_edits.pin(plan_edits.pin(plan, "1.1.0", ("pi-1",), NOON), "0.9.0", ("pi-2",), NOON)
    back = plan_edits.roll_back(plan, None, NOON)
    assert (runs(back, "pi-1"), runs(back, "pi-2")) == ("1.0.0", "0.9.0")


def test_going_back_to_what_spreads_now_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^1\.0\.0"):
        plan_edits.roll_back(released(None, "1.0.0"), "1.0.0", NOON)


def test_a_pin_goes_before_everything_and_tries_a_refused_version_again() -> None:
    plan = plan_edits.pin(released(released(None, "1.0.0"), "1.1.0"), "1.0.0", ("pi-1", "pi-2"), NOON)
    pinned = plan.assign("pi-1")
    assert pinned is not None
    assert (pinned.version, pinned.attempt) == ("1.0.0", 3)
    again = plan_edits.pin(plan, "1.1.0", ("pi-1",), NOON)
    assert (runs(again, "pi-1"), runs(again, "pi-2"), runs(again, "pi-3")) == ("1.1.0", "1.0.0", "1.1.0")


def test_an_unpinned_device_follows_the_fleet() -> None:
    plan = plan_edits.pin(released(None, "1.0.0"), "0.9.0", ("pi-1", "pi-2"), NOON)
    after = plan_edits.unpin(plan, ("pi-1",), NOON)
    assert (runs(after, "pi-1"), runs(after, "pi-2")) == ("1.0.0", "0.9.0")
    with pytest.raises(BadInput, match="pi-1"):
        plan_edits.unpin(after, ("pi-1",), NOON)


def test_names_that_cannot_be_are_refused_by_name() -> None:
    plan = released(None, "1.0.0")
    with pytest.raises(BadName, match="'a b'"):
        released(plan, "a b")
    with pytest.raises(BadName, match="'pi 1'"):
        plan_edits.pin(plan, "1.0.0", ("pi 1",), NOON)
    with pytest.raises(BadInput, match="1001"):
        plan_edits.pin(plan, "1.0.0", tuple(f"pi-{n}" for n in range(1001)), NOON)


def test_a_plan_that_would_be_too_long_is_refused_in_plain_english() -> None:
    plan = released(None, "1.0.0")
    for number in range(199):
        plan = plan_edits.pin(plan, "1.0.0", (f"pi-{number}",), NOON)
    with pytest.raises(BadInput, match="digits: rules"):
        plan_edits.pin(plan, "1.0.0", ("pi-199",), NOON)


def test_a_hold_holds_until_it_is_resumed() -> None:
    plan = plan_edits.hold(released(None, "1.0.0"), NOON)
    assert plan.hold
    assert plan_edits.pin(plan, "1.0.0", ("pi-1",), NOON).hold
    assert not plan_edits.resume(plan, NOON).hold


def test_a_long_history_forgets_pins_before_releases() -> None:
    plan = released(released(None, "1.0.0"), "1.1.0")
    for number in range(100):
        plan = plan_edits.hold(plan, NOON + timedelta(minutes=number))
    assert len(plan.history) == plan_edits.HISTORY_KEPT
    assert [stage.version for stage in plan.history[:2]] == ["1.0.0", "1.1.0"]
    assert plan.history[-1].sequence == plan.sequence
    assert plan_edits.predecessor(plan, "1.1.0") == "1.0.0"
