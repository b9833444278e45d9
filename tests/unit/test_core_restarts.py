"""The process ends at any point of an update and comes back with what was saved."""

from __future__ import annotations

import pytest

from device_client.core import effects as do
from device_client.core.device import Phase
from device_client.core.events import ModelFailed
from device_client.core.policy import TrialLimits
from tests.builders import CHOICE, a_device, a_plan, a_policy, an_installed
from tests.life import Life, only

OLD, NEW = "1.0.0", "2.0.0"


def settled(restarts_max: int = 2) -> Life:
    device = a_device(Phase.COMMITTED, live=OLD, plan=a_plan(OLD))
    return Life(device, a_policy(trial=TrialLimits(restarts_max=restarts_max)))


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in {Phase.IDLE}])
def test_after_a_restart_in_any_phase_the_live_model_is_served_and_the_end_is_the_same(phase: Phase) -> None:
    life = settled()
    if phase in {Phase.REJECTED, Phase.ROLLED_BACK}:
        life.goes_to(Phase.PROVING if phase is Phase.REJECTED else Phase.PROBATION)
        life.proves(passed=False) if phase is Phase.REJECTED else life.counts(live_errors=50)
        assert life.phase is phase
    else:
        life.goes_to(phase)
    live, said = life.device.live, list(life.outcomes)
    assert live is not None
    assert only(do.Swap, life.restarts())[0] == do.Swap(live)
    ends_well(life)
    final = {Phase.REJECTED: "rejected", Phase.ROLLED_BACK: "rolled_back"}.get(phase, "adopted")
    assert life.outcomes == [(final, NEW, 1)]
    assert said in ([], life.outcomes)
    assert life.live == (NEW if final == "adopted" else OLD)


def ends_well(life: Life) -> None:
    """From wherever it is, on the good road to its end."""
    for _ in range(8):
        match life.phase:
            case Phase.ASSIGNED | Phase.DEFERRED:
                life.reads()
            case Phase.FETCHING:
                life.gets_blob()
            case Phase.PROVING:
                life.proves()
            case Phase.SHADOWING | Phase.PROBATION:
                life.counts()


@pytest.mark.parametrize("phase", [Phase.PROVING, Phase.SHADOWING])
def test_a_trial_under_way_begins_again_from_the_files_on_the_disk(phase: Phase) -> None:
    life = settled().goes_to(phase)
    effects = life.restarts()
    assert life.phase is Phase.FETCHING
    assert only(do.OpenBlob, effects)
    assert life.device.target is not None
    assert life.device.target.restarts == 1


def test_a_download_may_be_interrupted_as_often_as_it_likes() -> None:
    life = settled().goes_to(Phase.FETCHING)
    for _ in range(20):
        life.restarts()
        assert life.phase is Phase.FETCHING


@pytest.mark.parametrize("phase", [Phase.PROVING, Phase.SHADOWING])
def test_a_process_that_ends_again_and_again_under_a_trial_is_ended_by_it(phase: Phase) -> None:
    life = settled(restarts_max=2)
    life.goes_to(phase)
    for _ in range(3):
        life.restarts()
        while life.phase is Phase.FETCHING:
            life.gets_blob()
        if phase is Phase.SHADOWING and life.phase is Phase.PROVING:
            life.proves()
    assert (life.phase, life.live) == (Phase.REJECTED, OLD)
    assert life.device.reason == "2.0.0 was refused: the process ended 3 times during its trial; 1.0.0 stays"
    assert life.outcomes == [("rejected", NEW, 1)]


def test_probation_goes_on_after_a_restart_with_its_time_begun_anew() -> None:
    life = settled().goes_to(Phase.PROBATION)
    assert life.restarts()[:2] == (do.Swap(an_installed(NEW)), do.StartShadow(an_installed(OLD)))
    assert life.counts(after_s=59.0) == ()
    life.counts(after_s=1.0)
    assert life.phase is Phase.COMMITTED


def test_probation_of_a_first_version_goes_on_without_a_shadow() -> None:
    life = Life().goes_to(Phase.PROBATION, OLD)
    assert life.restarts() == (do.Swap(an_installed(OLD)),)


def test_a_model_that_ends_the_process_again_and_again_is_rolled_back_without_being_opened_once_more() -> None:
    life = settled(restarts_max=2).goes_to(Phase.PROBATION)
    life.restarts()
    life.restarts()
    effects = life.restarts()
    assert (life.phase, life.live) == (Phase.ROLLED_BACK, OLD)
    assert only(do.Swap, effects) == [do.Swap(an_installed(OLD))]
    assert life.outcomes == [("rolled_back", NEW, 1)]
    assert "the process ended 3 times on probation" in life.device.reason


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


def test_a_first_version_that_ends_the_process_serves_on_for_there_is_nothing_else() -> None:
    life = Life(policy=a_policy(trial=TrialLimits(restarts_max=0))).goes_to(Phase.PROBATION, OLD)
    effects = life.restarts()
    assert (life.phase, life.live) == (Phase.REJECTED, OLD)
    assert only(do.Swap, effects) == [do.Swap(an_installed(OLD))]


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
    ends_well(life)
    assert (life.phase, life.live) == (Phase.COMMITTED, NEW)


def test_when_both_files_broke_the_plans_version_is_fetched_anew() -> None:
    life = settled().goes_to(Phase.COMMITTED)
    life.restarts()
    life.sees(ModelFailed(an_installed(NEW).variant.sha256, "truncated"))
    life.sees(ModelFailed(an_installed(OLD).variant.sha256, "truncated"))
    assert life.device.installed() == ()
    ends_well(life)
    assert (life.phase, life.live) == (Phase.COMMITTED, NEW)


def test_a_file_that_is_whole_and_still_cannot_be_opened_is_refused_in_the_end() -> None:
    life = settled()
    for _ in range(3):
        life.sees(ModelFailed(an_installed(OLD).variant.sha256, "unknown operator"))
        ends_well_until_live(life)
    assert life.device.reason == "1.0.0 could not be opened, and there is no earlier version: unknown operator"
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
    assert life.device.reason == f"runs 1.0.0, as plan 1 asks (every device); {CHOICE}"
