"""A plan changes while an update is under way: newer, same, older, held, recalled."""

from __future__ import annotations

import pytest

from device_client.core import effects as do
from device_client.core.events import LinkUp, ModelFailed, PlanTrusted
from device_client.core.policy import Policy, TrialLimits
from device_client.core.state import Phase
from tests.builders import CHOICE, a_device, a_manifest, a_plan, a_policy, a_rule, a_target, an_installed
from tests.life import LATENCY_MS, Life, only

OLD, NEW, NEXT = "1.0.0", "2.0.0", "3.0.0"
SAMPLE = TrialLimits().probation_share
UNDER_WAY = [Phase.ASSIGNED, Phase.DEFERRED, Phase.FETCHING, Phase.STALLED, Phase.PROVING, Phase.SHADOWING]
FILE = {version: an_installed(version).variant.sha256 for version in (OLD, NEW, NEXT)}


def settled(policy: Policy | None = None) -> Life:
    """A device that runs 1.0.0, found good, with 0.9.0 behind it."""
    return Life(a_device(Phase.COMMITTED, live=OLD, previous="0.9.0", plan=a_plan(OLD)), policy)


def in_phase(phase: Phase) -> Life:
    """On the way to 2.0.0."""
    return settled().goes_to(phase)


# newer, same, older


@pytest.mark.parametrize("phase", UNDER_WAY)
def test_a_newer_plan_changes_course(phase: Phase) -> None:
    life = in_phase(phase)
    effects = life.plans(NEXT)
    assert (life.phase, life.device.target, life.state.moment.download) == (Phase.ASSIGNED, None, None)
    assert "3.0.0" in life.device.reason
    assert bool(only(do.StopTrial, effects)) is (phase in {Phase.FETCHING, Phase.PROVING, Phase.SHADOWING})
    life.goes_to(Phase.COMMITTED, NEXT)
    assert (life.live, life.previous) == (NEXT, OLD)
    assert life.outcomes == [("adopted", NEXT, 1)]


def test_a_newer_plan_waits_for_the_verdict_on_what_is_live() -> None:
    life = in_phase(Phase.PROBATION)
    assert life.plans(NEXT) == ()
    life.counts()
    assert life.outcomes == [("adopted", NEW, 1)]
    assert life.phase is Phase.ASSIGNED
    assert "3.0.0" in life.device.reason


@pytest.mark.parametrize("phase", [*UNDER_WAY, Phase.PROBATION, Phase.COMMITTED])
def test_the_same_plan_again_disturbs_nothing(phase: Phase) -> None:
    life = in_phase(phase)
    plan, before = life.device.plan, life.device
    assert plan is not None
    assert life.trusts(plan) == ()
    assert life.device == before


@pytest.mark.parametrize("phase", [*UNDER_WAY, Phase.PROBATION, Phase.COMMITTED])
def test_an_older_plan_is_ignored_and_that_is_told(phase: Phase) -> None:
    life = in_phase(phase)
    before = life.device
    assert life.trusts(a_plan(OLD, sequence=1)) == ()
    assert life.device == before
    assert life.state.moment.notice == "plan 1 is older than plan 2 and was ignored"


@pytest.mark.parametrize("phase", [*UNDER_WAY, Phase.PROBATION])
def test_a_wider_plan_for_the_same_version_lets_it_go_on(phase: Phase) -> None:
    life = in_phase(phase)
    effects = life.plans(NEW, rules=[a_rule(NEW, percent=100.0)])
    assert life.phase is phase
    assert only(do.StopTrial, effects) == []


def test_a_device_outside_the_percentage_stays_with_the_other_rule() -> None:
    life = settled()
    life.plans(None, rules=[a_rule(NEW, percent=0.0), a_rule(OLD)])
    assert (life.phase, life.live) == (Phase.COMMITTED, OLD)
    assert "plan 2" in life.device.reason
    assert CHOICE in life.device.reason


def test_groups_of_the_settings_count() -> None:
    life = settled(a_policy(groups=("canary",)))
    life.plans(None, rules=[a_rule(NEW, groups=("canary",)), a_rule(OLD)])
    assert life.phase is Phase.ASSIGNED
    assert all(datum in life.device.reason for datum in ("plan 2", "2.0.0", "group canary"))


# hold and resume


@pytest.mark.parametrize("phase", [Phase.ASSIGNED, Phase.DEFERRED, Phase.STALLED])
def test_a_hold_keeps_a_waiting_device_waiting_until_it_is_resumed(phase: Phase) -> None:
    life = in_phase(phase)
    life.plans(NEW, hold=True)
    life.waits()
    assert (life.phase, life.device.reason) == (Phase.DEFERRED, "the publisher holds this release")
    assert only(do.OpenBlob, life.waits(100_000.0)) == []
    life.plans(NEW, hold=False)
    life.waits()
    life.reads()
    assert life.phase is Phase.FETCHING


def test_a_stalled_device_that_is_held_does_not_go_on_when_the_link_comes_back() -> None:
    life = in_phase(Phase.STALLED)
    life.plans(NEW, hold=True)
    assert life.sees(LinkUp()) == ()
    assert (life.phase, life.device.reason) == (Phase.DEFERRED, "the publisher holds this release")


@pytest.mark.parametrize("phase", [Phase.FETCHING, Phase.PROVING, Phase.SHADOWING])
def test_a_hold_stops_what_is_under_way_and_resuming_takes_it_up_again(phase: Phase) -> None:
    life = in_phase(phase)
    assert life.plans(NEW, hold=True) == (do.StopTrial(),)
    assert (life.phase, life.live) == (Phase.DEFERRED, OLD)
    life.plans(NEW)
    life.waits()
    life.reads()
    assert life.phase is Phase.FETCHING
    life.goes_to(Phase.COMMITTED, NEW)
    assert life.outcomes == [("adopted", NEW, 1)]


def test_a_hold_does_not_touch_what_is_live_on_probation() -> None:
    life = in_phase(Phase.PROBATION)
    assert life.plans(NEW, hold=True) == ()
    life.counts()
    assert life.outcomes == [("adopted", NEW, 1)]


# recall


@pytest.mark.parametrize("phase", UNDER_WAY)
def test_a_recall_before_the_swap_leaves_the_live_version_where_it_is(phase: Phase) -> None:
    life = in_phase(phase)
    effects = life.plans(OLD, urgency="urgent")
    assert (life.phase, life.live) == (Phase.COMMITTED, OLD)
    assert only(do.Swap, effects) == []
    assert life.outcomes == []


@pytest.mark.parametrize("phase", [Phase.PROBATION, Phase.COMMITTED])
@pytest.mark.parametrize("urgency", ["routine", "urgent"])
def test_a_recall_after_the_swap_needs_no_byte_no_proof_and_no_broker(phase: Phase, urgency: str) -> None:
    life = in_phase(phase)
    before = len(life.outcomes)
    life.plans(OLD, urgency=urgency)
    effects = life.reads(disk_free_bytes=100 * 1024 * 1024, metered=urgency == "urgent")
    assert [effect.sha256 for effect in only(do.OpenBlob, effects)] == [FILE[OLD]]
    effects = life.gets_blob()
    assert effects == (do.StopTrial(), do.Swap(an_installed(OLD)), do.TakeTally())
    life.counts(after_s=0.0, inputs=0)
    assert (life.phase, life.live, life.previous) == (Phase.COMMITTED, OLD, NEW)
    assert life.outcomes[before:] == [("adopted", OLD, 1)]
    assert only(do.Prove, effects) == []


def test_a_recall_asks_for_no_room_on_a_disk_that_is_nearly_full() -> None:
    life = in_phase(Phase.COMMITTED)
    life.plans(OLD, urgency="urgent")
    life.reads(disk_free_bytes=life.policy.thresholds.disk_min_bytes)
    assert life.phase is Phase.FETCHING


def test_a_recalled_version_that_cannot_be_opened_is_not_called_adopted() -> None:
    life = in_phase(Phase.COMMITTED)
    life.plans(OLD, urgency="urgent")
    life.reads()
    life.gets_blob()
    life.sees(ModelFailed(FILE[OLD], "no memory"))
    assert (life.phase, life.live) == (Phase.ROLLED_BACK, NEW)
    assert life.outcomes[-1] == ("rolled_back", OLD, 1)
    assert ("adopted", OLD, 1) not in life.outcomes


def test_a_recall_to_a_version_that_is_no_longer_here_is_fetched_and_proved() -> None:
    life = in_phase(Phase.COMMITTED)  # 2.0.0 and 1.0.0 are here, 0.9.0 is gone
    life.plans("0.9.0", urgency="urgent")
    life.reads()
    life.gets_blob()
    [proof] = only(do.Prove, life.gets_blob())
    assert proof.target.recalled
    effects = life.proves()
    assert do.StartShadow not in {type(effect) for effect in effects}
    life.counts(after_s=0.0, inputs=0)
    assert (life.phase, life.live, life.previous) == (Phase.COMMITTED, "0.9.0", NEW)


# urgent


def test_an_urgent_plan_does_not_wait_for_a_verdict_and_the_good_version_stays_the_way_back() -> None:
    life = in_phase(Phase.PROBATION)
    assert life.plans(NEXT, urgency="urgent")[0] == do.StopTrial()
    assert life.phase is Phase.ASSIGNED
    fetched(life)
    life.proves()
    life.counts()
    assert (life.phase, life.live, life.previous) == (Phase.PROBATION, NEXT, OLD)
    assert only(do.StartShadow, life.asked)[-1] == do.StartShadow(an_installed(OLD), SAMPLE)
    life.counts(live_errors=50)
    assert (life.live, life.outcomes) == (OLD, [("rolled_back", NEXT, 1)])


def test_a_version_whose_probation_was_broken_off_gets_it_when_the_plan_comes_back_to_it() -> None:
    life = in_phase(Phase.PROBATION)
    life.plans(NEXT, urgency="urgent")
    effects = life.plans(NEW)
    assert (life.phase, life.live, life.previous) == (Phase.PROBATION, NEW, OLD)
    assert effects == (
        do.StopTrial(),
        do.Swap(an_installed(NEW, latency_ms=LATENCY_MS)),
        do.StartShadow(an_installed(OLD), SAMPLE),
    )
    life.counts()
    assert life.outcomes == [("adopted", NEW, 1)]


def fetched(life: Life) -> None:
    """Everything that the assigned version needs is on the disk."""
    life.reads()
    while life.phase is Phase.FETCHING:
        life.gets_blob()


# a plan that is silent about us


@pytest.mark.parametrize("phase", UNDER_WAY)
def test_a_plan_that_names_nobody_means_stay_as_you_are(phase: Phase) -> None:
    life = in_phase(phase)
    life.plans(None)
    assert (life.phase, life.live, life.device.target) == (Phase.IDLE, OLD, None)
    assert "plan 3" in life.device.reason
    assert life.outcomes == []


def test_a_plan_that_names_nobody_does_not_leave_a_probation_without_its_verdict() -> None:
    life = in_phase(Phase.PROBATION)
    assert life.plans(None) == ()
    life.counts()
    assert (life.phase, life.live) == (Phase.IDLE, NEW)
    assert life.outcomes == [("adopted", NEW, 1)]


# refused versions


def refused(version: str = NEW) -> Life:
    life = settled().goes_to(Phase.PROVING, version)
    life.proves(passed=False, reason="output 3 differs by 0.4")
    return life


def test_a_refused_version_is_not_tried_again_and_the_reason_stays_told() -> None:
    life = refused()
    told = life.device.reason
    assert life.plans(NEW) == ()
    assert (life.phase, life.device.reason) == (Phase.REJECTED, told)
    assert only(do.OpenBlob, life.restarts()) == []
    assert (life.phase, life.device.reason) == (Phase.REJECTED, told)


def test_a_raised_attempt_has_a_refused_version_tried_once_more() -> None:
    life = refused()
    life.plans(None, rules=[a_rule(NEW, attempt=2)])
    fetched(life)
    life.proves()
    life.counts()
    life.counts()
    assert (life.phase, life.live) == (Phase.COMMITTED, NEW)
    assert life.outcomes == [("rejected", NEW, 1), ("adopted", NEW, 2)]
    assert life.device.refusals == ()


@pytest.mark.parametrize("phase", UNDER_WAY)
def test_a_raised_attempt_in_mid_flight_begins_anew(phase: Phase) -> None:
    life = in_phase(phase)
    life.plans(None, rules=[a_rule(NEW, attempt=2)])
    assert life.phase is Phase.ASSIGNED
    fetched(life)
    assert life.device.target is not None
    assert life.device.target.attempt == 2


def test_a_plan_that_names_a_refused_version_does_not_leave_a_probation_without_its_verdict() -> None:
    life = refused(NEXT)
    life.goes_to(Phase.PROBATION, NEW)
    assert life.plans(NEXT) == ()
    life.counts()
    assert life.live == NEW
    assert life.outcomes[-1] == ("adopted", NEW, 1)
    assert life.phase is Phase.REJECTED
    assert all(datum in life.device.reason for datum in ("3.0.0", "output 3 differs by 0.4"))


def test_a_device_under_way_goes_back_to_rest_when_the_plan_names_a_refused_version() -> None:
    for phase in UNDER_WAY:
        life = refused(NEXT).goes_to(phase, NEW)
        life.plans(NEXT)
        assert (life.phase, life.live) == (Phase.REJECTED, OLD)


def test_a_first_version_that_disappointed_is_watched_again_when_its_attempt_is_raised() -> None:
    life = Life().goes_to(Phase.PROBATION, OLD)
    life.counts(live_errors=50)
    assert life.plans(OLD) == ()
    effects = life.plans(None, rules=[a_rule(OLD, attempt=2)])
    assert (life.phase, life.live, life.previous) == (Phase.PROBATION, OLD, None)
    assert effects == (do.StopTrial(), do.Swap(an_installed(OLD, latency_ms=LATENCY_MS)))  # a swap begins a fresh tally
    life.counts()
    assert (life.phase, life.outcomes) == (Phase.COMMITTED, [("rejected", OLD, 1), ("adopted", OLD, 2)])


def test_a_rolled_back_version_stays_refused_under_every_plan_that_does_not_raise_it() -> None:
    life = in_phase(Phase.PROBATION)
    life.counts(live_errors=50)
    for _ in range(3):
        life.plans(NEW)
        assert (life.phase, life.live) == (Phase.ROLLED_BACK, OLD)
    life.plans(OLD)
    assert (life.phase, life.live) == (Phase.COMMITTED, OLD)


def test_a_bundle_with_a_plan_brings_the_manifests_of_its_versions_and_drops_the_others() -> None:
    life = settled()
    plan = a_plan(None, sequence=2, rules=[a_rule(NEW, percent=0.0), a_rule(OLD)])
    life.sees(PlanTrusted(plan, {version: a_manifest(version) for version in (NEW, OLD)}))
    assert set(life.device.manifests) == {NEW, OLD}


def test_the_target_remembers_which_plan_asked_and_why_this_variant() -> None:
    life = in_phase(Phase.FETCHING)
    target = life.device.target
    assert target is not None
    assert (target.plan_sequence, target.attempt, target.recalled) == (2, 1, False)
    assert target.choice == "variant float32, the most accurate of 2 that fit"
    assert target.variant == a_target(NEW).variant
