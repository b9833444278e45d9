"""A status in every phase, and one final outcome for each version and attempt."""

from __future__ import annotations

from datetime import timedelta

import pytest

from device_client.core import effects as do
from device_client.core.events import BlobBroken, BlobOpened, PlanRefused
from device_client.core.policy import TrialLimits
from device_client.core.state import Phase
from device_client.core.status import status_of
from protocol.messages.device import Status
from tests.builders import NOON, a_device, a_hash, a_plan, a_policy, a_rule, a_state
from tests.life import Life, only

OLD, NEW = "1.0.0", "2.0.0"


def settled() -> Life:
    return Life(a_device(Phase.COMMITTED, live=OLD, plan=a_plan(OLD)))


def said(life: Life, *, trouble: str = "") -> Status:
    return status_of(life.policy, life.state, at=NOON, next_check=None, trouble=trouble)


@pytest.mark.parametrize(
    ("phase", "in_progress", "installed", "previous"),
    [
        (Phase.ASSIGNED, False, OLD, None),
        (Phase.DEFERRED, False, OLD, None),
        (Phase.FETCHING, True, OLD, None),
        (Phase.STALLED, False, OLD, None),
        (Phase.PROVING, True, OLD, None),
        (Phase.SHADOWING, True, OLD, None),
        (Phase.PROBATION, True, NEW, OLD),
        (Phase.COMMITTED, False, NEW, OLD),
    ],
)
def test_the_status_says_where_the_device_stands(
    phase: Phase, in_progress: bool, installed: str, previous: str | None
) -> None:
    status = said(settled().goes_to(phase))
    assert (status.state, status.in_progress) == (phase.value, in_progress)
    assert (status.installed_version, status.latest_version, status.previous_version) == (installed, NEW, previous)
    assert (status.device, status.model, status.variant, status.plan_sequence) == ("pi-1", "digits", "float32", 2)
    assert status.reason
    assert len(status.to_line()) < 4_096


def test_a_device_without_a_plan_says_so() -> None:
    status = said(Life())
    assert (status.state, status.reason) == ("idle", "no plan has been seen yet")
    assert (status.installed_version, status.latest_version, status.plan_sequence) == (None, None, 0)


def test_progress_is_told_while_a_blob_is_under_way_and_only_then() -> None:
    life = settled().goes_to(Phase.FETCHING)
    life.sees(BlobOpened(a_hash("golden of digits 2.0.0"), (a_hash("a"),), 2, 3))
    assert said(life).update_percentage == 26.7  # of 20 kB and 30 kB
    life.plans(OLD)
    assert said(life).update_percentage is None


def test_a_refused_bundle_and_a_disk_in_trouble_stand_beside_the_reason() -> None:
    life = settled()
    life.sees(PlanRefused("signed by a stranger"))
    status = said(life, trouble="the device's disk cannot be written")
    assert status.reason.startswith("the device's disk cannot be written; ")
    assert status.reason.endswith("; the last bundle was not taken: signed by a stranger")
    assert status.state == "committed"


def test_the_next_check_is_told_in_utc() -> None:
    later = NOON + timedelta(minutes=5)
    assert status_of(a_policy(), a_state(), at=NOON, next_check=later).next_check == later


LONG = "a very long complaint " * 100


@pytest.mark.parametrize("phase", [Phase.FETCHING, Phase.PROVING, Phase.SHADOWING, Phase.PROBATION])
def test_a_reason_of_any_length_stays_one_that_can_be_told(phase: Phase) -> None:
    life = settled().goes_to(phase)
    if phase is Phase.FETCHING:
        life.sees(BlobBroken(a_hash("golden of digits 2.0.0"), LONG))
    elif phase is Phase.PROVING:
        life.proves(passed=False, reason=LONG)
    else:
        life.counts(agreed=0)
    life.sees(PlanRefused(LONG))
    assert len(life.outcomes) == 1
    assert len(said(life).reason) <= 500  # and `Life` looks at every reason on the way


def ending(kind: str) -> Life:
    """A device whose road to 2.0.0 has just ended in this way."""
    if kind == "rejected by proof":
        life = settled().goes_to(Phase.PROVING)
        life.proves(passed=False)
    elif kind == "rejected in shadow":
        life = settled().goes_to(Phase.SHADOWING)
        life.counts(agreed=0)
    else:
        life = settled().goes_to(Phase.PROBATION)
        life.counts(live_errors=0 if kind == "adopted" else 90)
    return life


@pytest.mark.parametrize("kind", ["rejected by proof", "rejected in shadow", "rolled back", "adopted"])
def test_an_outcome_is_announced_once_whatever_comes_after(kind: str) -> None:
    life = ending(kind)
    assert len(life.outcomes) == 1
    life.restarts()
    life.plans(NEW)
    life.counts()
    life.proves()
    life.waits(10_000.0)
    assert len(life.outcomes) == 1


def test_an_outcome_belongs_to_the_plan_and_attempt_that_asked() -> None:
    life = settled()
    life.plans(None, rules=[a_rule(NEW, attempt=3)], sequence=7)
    life.reads()
    while life.phase is Phase.FETCHING:
        life.gets_blob()
    life.plans(None, rules=[a_rule(NEW, attempt=3)], sequence=8)  # widened on the way
    life.proves(passed=False)
    [told] = only(do.Announce, life.asked)
    assert (told.plan_sequence, told.attempt, told.from_version) == (7, 3, OLD)


def test_each_trial_begins_with_no_evidence() -> None:
    life = settled().goes_to(Phase.SHADOWING)
    life.counts(agreed=0)
    life.goes_to(Phase.PROVING, "3.0.0")
    life.proves(passed=False)
    told = only(do.Announce, life.asked)[-1]
    assert (told.version, told.evidence.golden_samples, told.evidence.shadow_inputs) == ("3.0.0", 16, None)


def test_a_device_that_nobody_feeds_is_told_apart_by_its_reason() -> None:
    life = Life(
        a_device(Phase.COMMITTED, live=OLD, plan=a_plan(OLD)), a_policy(trial=TrialLimits(without_evidence="reject"))
    ).goes_to(Phase.SHADOWING)
    life.counts(inputs=0)
    assert (
        "not enough evidence in 4000 s, no input that both answered; the settings say to reject"
        in only(do.Announce, life.asked)[0].reason
    )
