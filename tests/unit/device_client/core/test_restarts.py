"""Restarts at any point of an update; the chains are in tests/states.py."""

from __future__ import annotations

import pytest

from device_client.core import effects as do
from device_client.core.events import ModelFailed, PlanTrusted
from device_client.core.policy import TrialLimits
from device_client.core.state import Phase
from tests.builders import CHOICE, a_device, a_manifest, a_plan, a_policy, a_variant, an_installed
from tests.life import LATENCY_MS, Life, only
from tests.states import goes_on

OLD, NEW = "1.0.0", "2.0.0"
SAMPLE = TrialLimits().probation_share


def settled(restarts_max: int = 2) -> Life:
    device = a_device(Phase.COMMITTED, live=OLD, plan=a_plan(OLD))
    return Life(device, a_policy(trial=TrialLimits(restarts_max=restarts_max)))


@pytest.mark.parametrize("phase", [Phase.PROVING, Phase.SHADOWING])
def test_a_trial_under_way_begins_again_from_the_files_on_the_disk(phase: Phase) -> None:
    life = settled().goes_to(phase)
    effects = life.restarts()
    assert life.phase is Phase.FETCHING
    assert only(do.OpenBlob, effects)
    assert life.device.target is not None
    assert life.device.target.restarts == 1


def on_the_way(phase: Phase) -> Life:
    """To float32 of 2.0.0, which has int8 too."""
    variants = [a_variant(name, of=NEW, accuracy=share) for name, share in (("float32", 0.95), ("int8", 0.94))]
    life = settled()
    life.sees(PlanTrusted(a_plan(NEW, sequence=2), {NEW: a_manifest(NEW, variants=variants)}))
    life.reads()
    while life.phase is Phase.FETCHING and phase is not Phase.FETCHING:
        life.gets_blob()
    if phase is Phase.SHADOWING:
        life.proves()
    assert life.phase is phase
    return life


@pytest.mark.parametrize("phase", [Phase.FETCHING, Phase.PROVING, Phase.SHADOWING])
def test_a_variant_that_the_settings_now_forbid_is_not_gone_on_with(phase: Phase) -> None:
    life = on_the_way(phase)
    life.policy = a_policy(variant="int8")
    life.restarts()
    assert (life.phase, life.live) == (Phase.ASSIGNED, OLD)
    life.reads()
    assert life.device.target is not None
    assert life.device.target.variant.name == "int8"
    goes_on(life)
    assert life.device.live is not None
    assert (life.device.live.version, life.device.live.variant.name) == (NEW, "int8")


def test_settings_that_forbid_every_variant_leave_what_runs_and_say_why() -> None:
    life = settled().goes_to(Phase.SHADOWING)
    life.policy = a_policy(variant="tiny")
    life.restarts()
    life.reads()
    assert (life.phase, life.live) == (Phase.DEFERRED, OLD)
    assert "tiny" in life.device.reason
    assert life.outcomes == []


def test_probation_goes_on_after_a_restart_with_its_time_begun_anew() -> None:
    life = settled().goes_to(Phase.PROBATION)
    assert life.restarts()[:2] == (
        do.Swap(an_installed(NEW, latency_ms=LATENCY_MS)),
        do.StartShadow(an_installed(OLD), SAMPLE),
    )
    assert life.counts(after_s=59.0) == ()
    life.counts(after_s=1.0)
    assert life.phase is Phase.COMMITTED


def test_probation_of_a_first_version_goes_on_without_a_shadow() -> None:
    life = Life().goes_to(Phase.PROBATION, OLD)
    assert life.restarts() == (do.Swap(an_installed(OLD, latency_ms=LATENCY_MS)),)


def test_a_model_that_ends_the_process_again_and_again_is_rolled_back_without_being_opened_once_more() -> None:
    life = settled(restarts_max=2).goes_to(Phase.PROBATION)
    life.restarts()
    life.restarts()
    effects = life.restarts()
    assert (life.phase, life.live) == (Phase.ROLLED_BACK, OLD)
    assert only(do.Swap, effects) == [do.Swap(an_installed(OLD))]
    assert life.outcomes == [("rolled_back", NEW, 1)]
    assert "3 times" in life.device.reason


def test_restarts_of_the_trial_are_not_held_against_the_probation() -> None:
    life = settled(restarts_max=2).goes_to(Phase.SHADOWING)
    for _ in range(2):
        life.restarts()
        while life.phase is Phase.FETCHING:
            life.gets_blob()
        life.proves()
    life.counts()
    life.restarts()
    assert life.phase is Phase.PROBATION


def test_a_recalled_version_is_committed_after_a_restart_too() -> None:
    life = settled().goes_to(Phase.COMMITTED)
    life.plans(OLD, urgency="urgent")
    life.reads()
    life.gets_blob()
    assert life.phase is Phase.PROBATION
    life.restarts()
    assert life.waits() == (do.TakeTally(),)
    life.counts(after_s=0.0, inputs=0)
    assert (life.phase, life.live, life.outcomes[-1]) == (Phase.COMMITTED, OLD, ("adopted", OLD, 1))


def test_a_live_file_that_broke_while_the_power_was_off_gives_way_to_the_previous_one() -> None:
    life = settled().goes_to(Phase.COMMITTED)
    life.restarts()
    effects = life.sees(ModelFailed(an_installed(NEW).variant.sha256, "truncated"))
    assert (life.live, life.previous) == (OLD, None)
    assert do.Swap(an_installed(OLD)) in effects
    goes_on(life)
    assert (life.phase, life.live) == (Phase.COMMITTED, NEW)


def test_a_file_that_a_power_cut_damaged_on_probation_speaks_against_the_disk_and_not_the_version() -> None:
    life = settled().goes_to(Phase.PROBATION)
    life.restarts()
    effects = life.sees(ModelFailed(an_installed(NEW).variant.sha256, "other bytes", damaged=True))
    assert do.Swap(an_installed(OLD)) in effects
    assert (life.live, life.outcomes) == (OLD, [])
    goes_on(life)
    assert (life.phase, life.live) == (Phase.COMMITTED, NEW)


def test_the_same_befalls_a_first_version_and_the_device_is_not_left_without_one() -> None:
    life = Life().goes_to(Phase.PROBATION, OLD)
    life.restarts()
    life.sees(ModelFailed(an_installed(OLD).variant.sha256, "other bytes", damaged=True))
    goes_on(life)
    assert (life.phase, life.live, life.outcomes) == (Phase.COMMITTED, OLD, [("adopted", OLD, 1)])


def test_a_file_that_is_damaged_at_its_very_swap_is_not_fetched_for_ever() -> None:
    life = settled().goes_to(Phase.PROBATION)
    life.sees(ModelFailed(an_installed(NEW).variant.sha256, "other bytes", damaged=True))
    assert (life.phase, life.live, life.outcomes) == (Phase.ROLLED_BACK, OLD, [("rolled_back", NEW, 1)])


def test_when_both_files_broke_the_plans_version_is_fetched_anew() -> None:
    life = settled().goes_to(Phase.COMMITTED)
    life.restarts()
    life.sees(ModelFailed(an_installed(NEW).variant.sha256, "truncated"))
    life.sees(ModelFailed(an_installed(OLD).variant.sha256, "truncated"))
    assert life.device.installed() == ()
    goes_on(life)
    assert (life.phase, life.live) == (Phase.COMMITTED, NEW)


def test_a_file_that_is_whole_and_still_cannot_be_opened_is_refused_in_the_end() -> None:
    life = settled()
    for _ in range(3):
        life.sees(ModelFailed(an_installed(OLD).variant.sha256, "unknown operator"))
        ends_well_until_live(life)
    assert all(datum in life.device.reason for datum in ("1.0.0", "unknown operator"))
    assert life.outcomes == [("rejected", OLD, 1)]


def ends_well_until_live(life: Life) -> None:
    while life.live is None and life.phase is not Phase.REJECTED:
        match life.phase:
            case Phase.ASSIGNED:
                life.reads()
            case Phase.FETCHING:
                life.gets_blob()
            case Phase.PROVING:
                life.proves()
            case _:
                raise AssertionError(life.phase)


def test_what_serves_on_although_new_settings_speak_against_it_says_so() -> None:
    device = a_device(Phase.COMMITTED, live=OLD, plan=a_plan(OLD))
    life = Life(device, a_policy(variant="int8"))
    life.restarts()
    assert (life.phase, life.live, life.outcomes) == (Phase.COMMITTED, OLD, [])
    assert life.device.reason == (
        "runs 1.0.0, as plan 1 asks (every device); the settings speak against its variant, others are looked at:"
        " float32 is not int8, the only one that the settings allow"
    )
    life.policy = a_policy()
    life.restarts()
    assert life.device.reason.endswith(CHOICE)
