"""Every row of the device's table, with and without faults."""

from __future__ import annotations

import pytest

from device_client.core import effects as do
from device_client.core.events import (
    BlobBroken,
    BlobOpened,
    BlobReady,
    ChunkCorrupt,
    ChunkKept,
    ChunksSwept,
    DiskFailed,
    Event,
    LinkDown,
    LinkUp,
    ModelFailed,
    PlanRefused,
    ProofEnded,
    Started,
    TallyTaken,
    TimePassed,
)
from device_client.core.policy import DownloadLimits, TrialLimits
from device_client.core.state import Device, Phase
from device_client.core.state_machine import TABLE, wake_s
from device_client.core.trial.e_values import Counted, evidence_above, evidence_below
from protocol.messages.device import Evidence
from tests.builders import a_device, a_hash, a_plan, a_policy, a_tally, an_installed
from tests.life import Life, only

OLD, NEW = "1.0.0", "2.0.0"


def settled(*, policy: TrialLimits | None = None, download: DownloadLimits | None = None) -> Life:
    """A device that runs 1.0.0, found good."""
    device = a_device(Phase.COMMITTED, live=OLD, plan=a_plan(OLD))
    return Life(device, a_policy(trial=policy or TrialLimits(), download=download or DownloadLimits()))


def in_phase(phase: Phase) -> Life:
    """On the way to 2.0.0."""
    return settled().goes_to(phase)


# the good road


def test_a_first_version_goes_live_after_its_proof_and_is_committed_after_probation() -> None:
    life = Life()
    life.goes_to(Phase.PROBATION, OLD)
    assert (life.live, life.previous) == (OLD, None)
    assert life.outcomes == []  # said only when it is true
    life.counts()
    assert life.phase is Phase.COMMITTED
    assert life.outcomes == [("adopted", OLD, 1)]


def test_a_second_version_is_shadowed_and_the_first_becomes_the_way_back() -> None:
    life = in_phase(Phase.SHADOWING)
    assert (life.live, life.previous) == (OLD, None)
    life.counts()
    assert (life.phase, life.live, life.previous) == (Phase.PROBATION, NEW, OLD)
    life.counts()
    assert life.outcomes == [("adopted", NEW, 1)]
    assert life.device.committed[-1] == NEW


def test_adoption_is_told_with_all_of_its_evidence() -> None:
    said = only(do.Announce, in_phase(Phase.COMMITTED).asked)[0]
    evidence = said.evidence
    assert (said.version, said.variant, said.from_version, said.plan_sequence) == (NEW, "float32", OLD, 2)
    assert (evidence.golden_samples, evidence.golden_max_error) == (16, 0.001)
    assert (evidence.shadow_inputs, evidence.shadow_agreement) == (200, 1.0)
    assert (evidence.probation_inferences, evidence.probation_errors) == (200, 0)
    assert (evidence.shadow_decided_by, evidence.probation_decided_by) == ("agreement", "agreement")
    assert (evidence.live_only_right, evidence.previous_only_right) == (None, None), "no labels came"


def test_a_reader_can_check_a_verdict_by_its_evidence() -> None:
    """The e-values follow from the counts and rates that were sent."""
    life = in_phase(Phase.SHADOWING)
    life.counts(inputs=300, agreed=290, labelled=200, both_correct=190, only_live_correct=1, only_shadow_correct=5)
    assert life.phase is Phase.PROBATION
    life.counts(inputs=60, labelled=50, both_correct=20, only_live_correct=2, only_shadow_correct=25)
    [said] = only(do.Announce, life.asked)
    sent = Evidence.model_validate_json(said.evidence.model_dump_json())
    assert (said.outcome, sent.shadow_decided_by, sent.probation_decided_by) == ("rolled_back", "accuracy", "accuracy")
    assert (sent.live_only_right, sent.candidate_only_right, sent.shadow_labelled) == (1, 5, 200)
    assert (sent.previous_only_right, sent.new_only_right, sent.probation_labelled) == (25, 2, 50)
    before = Counted((-1.0, 0.0, 1.0), (5, 194, 1))
    assert sent.shadow_e_worse == pytest.approx(evidence_below(before, TrialLimits().accuracy_drop_max), rel=1e-3)
    after = Counted((-1.0, 0.0, 1.0), (2, 23, 25))
    assert sent.probation_e_equal == pytest.approx(evidence_above(after, 0.0), rel=1e-3)
    assert sent.shadow_e_worse is not None
    assert sent.worse_adopted_max is not None
    assert sent.shadow_e_worse >= 1 / sent.worse_adopted_max
    assert len(said.evidence.model_dump_json()) < 2_048


def test_a_candidate_sees_every_input_and_the_previous_version_a_sample() -> None:
    shares = [shadow.share for shadow in only(do.StartShadow, in_phase(Phase.COMMITTED).asked)]
    limits = TrialLimits()
    assert shares == [limits.shadow_share, limits.probation_share]
    assert limits.probation_share < limits.shadow_share


def test_what_went_live_by_its_accuracy_is_not_rolled_back_for_disagreeing() -> None:
    life = in_phase(Phase.SHADOWING)
    life.counts(agreed=60, labelled=100, both_correct=30, only_shadow_correct=60)
    life.counts(agreed=60)
    assert life.outcomes == [("adopted", NEW, 1)]
    life = in_phase(Phase.PROBATION)  # by agreement
    life.counts(agreed=60)
    assert life.outcomes == [("rolled_back", NEW, 1)]


def test_files_are_fetched_golden_set_first_and_proved_before_anything_else() -> None:
    life = settled()
    life.plans(NEW)
    [opening] = only(do.OpenBlob, life.reads())
    target = life.device.target
    assert target is not None
    assert (opening.sha256, opening.size_bytes) == (target.manifest.golden.sha256, 20_000)
    [opening] = only(do.OpenBlob, life.gets_blob())
    assert (opening.sha256, opening.size_bytes) == (target.variant.sha256, 30_000)
    assert [prove.target for prove in only(do.Prove, life.gets_blob())] == [target]
    assert life.phase is Phase.PROVING


def test_after_a_commit_only_current_and_previous_are_kept() -> None:
    life = in_phase(Phase.COMMITTED)
    kept = only(do.KeepOnly, life.asked)[-1]
    assert set(kept.sha256s) == {an_installed(OLD).variant.sha256, an_installed(NEW).variant.sha256}


# the table itself


def test_what_is_not_in_the_table_is_late_or_repeated_and_changes_nothing() -> None:
    proof = ProofEnded(a_hash("x"), True, "late")
    late: list[tuple[Phase, Event]] = [
        (Phase.COMMITTED, proof),
        (Phase.FETCHING, proof),
        (Phase.SHADOWING, ChunkKept(a_hash("x"))),
        (Phase.PROVING, TallyTaken(a_tally())),
        (Phase.DEFERRED, BlobReady(a_hash("x"))),
        (Phase.ASSIGNED, DiskFailed("full")),
        (Phase.PROVING, TimePassed()),
    ]
    for phase, event in late:
        assert (phase, type(event)) not in TABLE
        life = in_phase(phase)
        before = life.state
        assert life.sees(event) == ()
        assert life.state == before


@pytest.mark.parametrize("phase", list(Phase))
def test_three_things_are_heard_in_every_phase(phase: Phase) -> None:
    heard = {event.__name__ for at, event in TABLE if at is phase}
    assert {"Started", "PlanTrusted", "ModelFailed"} <= heard


# WAITING


@pytest.mark.parametrize("phase", [Phase.ASSIGNED, Phase.DEFERRED])
def test_a_waiting_device_checks_again_when_it_is_time_and_not_before(phase: Phase) -> None:
    life = in_phase(phase)
    assert life.waits(0.1) == ()
    due_s = wake_s(life.policy, life.state)
    assert due_s is not None
    assert only(do.TakeReadings, life.waits(due_s - life.now_s + life.policy.readings_fresh_s))
    life.reads()
    assert life.phase is Phase.FETCHING


@pytest.mark.parametrize("phase", [Phase.ASSIGNED, Phase.DEFERRED])
def test_new_readings_are_weighed_at_once(phase: Phase) -> None:
    life = in_phase(phase)
    life.reads(battery_percent=3.0)
    assert (life.phase, "battery 3 %" in life.device.reason) == (Phase.DEFERRED, True)
    life.reads()
    assert life.phase is Phase.FETCHING


def test_stale_readings_are_taken_anew_before_anything_begins() -> None:
    life = in_phase(Phase.DEFERRED)
    effects = life.waits(life.policy.readings_fresh_s)
    assert effects == (do.TakeReadings(),)
    assert life.phase is Phase.DEFERRED


def test_a_device_waits_its_own_share_of_the_spread() -> None:
    life = settled()
    plan = a_plan(NEW, sequence=2, spread_s=600)
    life.trusts(plan)
    life.reads()
    assert "600 s" in life.device.reason
    delay_s = plan.start_delay_s("pi-1")
    assert life.state.moment.next_check_s == pytest.approx(life.now_s + delay_s)
    life.waits(delay_s)
    life.reads()
    assert life.phase is Phase.FETCHING


def test_an_urgent_plan_waits_for_no_slot_and_no_comfort() -> None:
    life = settled()
    life.plans(NEW, urgency="urgent", spread_s=600)
    life.reads(cpu_percent=99.0)
    assert life.phase is Phase.FETCHING


def test_an_empty_device_has_no_comfort_to_lose() -> None:
    life = Life()
    life.plans(OLD)
    life.reads(cpu_percent=99.0)
    assert life.phase is Phase.FETCHING


def test_a_version_without_a_fitting_variant_is_deferred_with_the_reason_and_looked_at_again() -> None:
    life = settled()
    life.policy = a_policy(variant="pruned")
    life.plans(NEW)
    life.reads()
    assert life.phase is Phase.DEFERRED
    assert "variant of 2.0.0" in life.device.reason
    assert life.state.moment.next_check_s == life.now_s + 600.0


# FETCHING


def test_missing_chunks_are_swept_and_when_all_have_come_the_store_looks_again() -> None:
    life = in_phase(Phase.FETCHING)
    golden = a_hash("golden of digits 2.0.0")
    assert life.misses("a", "b") == (do.SweepChunks((a_hash("a"), a_hash("b"))),)
    assert life.sees(ChunkKept(a_hash("a"))) == ()
    assert life.sees(ChunkKept(a_hash("b"))) == (do.RecheckBlob(golden),)
    [finish] = only(do.FinishBlob, life.sees(BlobOpened(golden, (), 2, 2)))
    assert (finish.sha256, finish.size_bytes) == (golden, 20_000)


def test_a_list_that_names_more_chunks_is_followed() -> None:
    life = in_phase(Phase.FETCHING)
    life.misses("list")
    life.sees(ChunkKept(a_hash("list")))
    assert life.misses("leaf 1", "leaf 2") == (do.SweepChunks((a_hash("leaf 1"), a_hash("leaf 2"))),)


def test_chunks_that_the_broker_lacks_are_wanted_by_name() -> None:
    life = in_phase(Phase.FETCHING)
    life.misses("a", "b")
    life.sees(ChunksSwept((a_hash("a"), a_hash("b"))))
    assert do.SendWants((a_hash("a"), a_hash("b"))) in life.waits()


def test_a_lie_is_asked_for_again_after_a_pause() -> None:
    life = in_phase(Phase.FETCHING)
    life.misses("a")
    assert life.sees(ChunkCorrupt(a_hash("a"))) == (do.SendWants((a_hash("a"),)),)  # others may keep a good one
    assert do.SweepChunks((a_hash("a"),)) in life.waits(10.0)


def test_a_cut_link_asks_nothing_and_goes_on_where_it_was() -> None:
    life = in_phase(Phase.FETCHING)
    life.misses("a", "b")
    life.sees(ChunkKept(a_hash("a")))
    assert life.sees(LinkDown("a tree fell on the mast")) == ()
    assert only(do.SweepChunks, life.waits(120.0)) == []
    assert life.sees(LinkUp()) == (do.SweepChunks((a_hash("b"),)),)


def test_a_blob_of_another_target_is_not_mistaken_for_ours() -> None:
    life = in_phase(Phase.FETCHING)
    before = life.state
    for event in (BlobReady(a_hash("x")), BlobOpened(a_hash("x"), (), 1, 1), BlobBroken(a_hash("x"), "damaged")):
        assert life.sees(event) == ()
        assert life.state == before


def test_a_full_disk_defers_and_touches_nothing() -> None:
    life = in_phase(Phase.FETCHING)
    effects = life.sees(DiskFailed("the disk is full"))
    assert (life.phase, life.device.reason, life.live) == (Phase.DEFERRED, "the disk is full", OLD)
    assert effects == (do.StopTrial(),)
    assert life.state.moment.next_check_s == life.now_s + 600.0


def test_a_battery_that_runs_low_interrupts_the_download_and_it_resumes_later() -> None:
    life = in_phase(Phase.FETCHING)
    life.misses("a")
    assert life.reads(cpu_percent=99.0) == ()  # comfort is asked before, not during
    assert life.reads(battery_percent=4.0) == (do.StopTrial(),)
    assert "battery 4 %" in life.device.reason
    life.waits(60.0)
    life.reads()
    assert life.phase is Phase.FETCHING


def test_the_device_is_looked_at_now_and_then_while_it_fetches() -> None:
    life = in_phase(Phase.FETCHING)
    life.misses("a")
    due_s = wake_s(life.policy, life.state)
    assert due_s == life.now_s + life.policy.readings_fresh_s
    assert do.TakeReadings() in life.waits()


def test_a_download_without_any_chunk_stalls_and_says_who_can_help() -> None:
    life = in_phase(Phase.STALLED)
    assert life.device.reason == ("the broker lacks 1 of 1 chunks after 8 rounds; `publisher serve` puts them back")
    assert only(do.StopTrial, life.asked)
    assert life.outcomes == []  # not final: it is tried again


@pytest.mark.parametrize("after", ["time", "link"])
def test_a_stalled_download_is_tried_again_from_what_is_on_the_disk(after: str) -> None:
    life = in_phase(Phase.STALLED)
    assert life.waits(1.0) == ()
    effects = life.waits() if after == "time" else life.sees(LinkUp())
    assert only(do.OpenBlob, effects)
    assert life.phase is Phase.FETCHING


# PROVING, SHADOWING, PROBATION


def test_a_candidate_that_fails_its_proof_never_goes_live() -> None:
    life = in_phase(Phase.PROVING)
    effects = life.proves(passed=False, reason="output 3 differs by 0.4")
    assert (life.phase, life.live, life.previous) == (Phase.REJECTED, OLD, None)
    assert all(datum in life.device.reason for datum in ("2.0.0", "output 3 differs by 0.4", "1.0.0"))
    assert effects[0] == do.StopTrial()
    assert only(do.Swap, effects) == []
    assert only(do.KeepOnly, effects)[0].sha256s == (an_installed(OLD).variant.sha256,)
    assert life.outcomes == [("rejected", NEW, 1)]


def test_the_proof_of_another_candidate_proves_nothing() -> None:
    life = in_phase(Phase.PROVING)
    before = life.state
    assert life.sees(ProofEnded(a_hash("another"), True, "fine")) == ()
    assert life.state == before


@pytest.mark.parametrize("phase", [Phase.SHADOWING, Phase.PROBATION])
def test_the_counts_are_looked_at_every_so_often_and_no_verdict_is_drawn_early(phase: Phase) -> None:
    life = in_phase(phase)
    assert life.waits(0.5) == ()
    assert life.waits() == (do.TakeTally(),)
    assert life.counts(after_s=1.0, inputs=5) == ()
    assert life.phase is phase


def test_a_candidate_that_disagrees_is_refused_with_its_figures() -> None:
    life = in_phase(Phase.SHADOWING)
    life.counts(inputs=100, agreed=40)
    assert (life.phase, life.live) == (Phase.REJECTED, OLD)
    assert "40% of 100" in life.device.reason
    assert only(do.Announce, life.asked)[0].evidence.shadow_agreement == 0.4


def test_a_model_that_disappoints_on_probation_is_rolled_back_without_a_byte() -> None:
    life = in_phase(Phase.PROBATION)
    effects = life.counts(live_errors=50)
    assert (life.phase, life.live, life.previous) == (Phase.ROLLED_BACK, OLD, None)
    assert all(datum in life.device.reason for datum in ("2.0.0", "1.0.0", "50 of 200"))
    assert only(do.Swap, effects) == [do.Swap(an_installed(OLD))]
    assert only(do.OpenBlob, effects) == []
    assert life.outcomes == [("rolled_back", NEW, 1)]


# models that fail


@pytest.mark.parametrize("phase", [Phase.COMMITTED, Phase.ASSIGNED, Phase.FETCHING, Phase.PROVING, Phase.SHADOWING])
def test_a_broken_live_file_gives_way_to_the_previous_one_and_is_fetched_anew(phase: Phase) -> None:
    device = a_device(Phase.COMMITTED, live=OLD, previous="0.9.0", plan=a_plan(OLD))
    life = Life(device)
    if phase is not Phase.COMMITTED:
        life.goes_to(phase)
    wanted = OLD if phase is Phase.COMMITTED else NEW
    effects = life.sees(ModelFailed(an_installed(OLD).variant.sha256, "truncated"))
    assert (life.live, life.previous) == ("0.9.0", None)
    assert do.Swap(an_installed("0.9.0")) in effects
    assert wanted in life.device.reason
    life.reads()
    assert life.phase is Phase.FETCHING


def test_a_broken_live_file_without_a_previous_one_is_fetched_anew_and_proved_anew() -> None:
    life = settled()
    life.sees(ModelFailed(an_installed(OLD).variant.sha256, "truncated"))
    assert (life.live, life.phase) == (None, Phase.ASSIGNED)
    life.reads()
    assert life.phase is Phase.FETCHING
    life.gets_blob()
    assert [prove.target for prove in only(do.Prove, life.gets_blob())] == [life.device.target]
    life.proves()
    life.counts(after_s=0.0, inputs=0)
    assert (life.phase, life.live) == (Phase.COMMITTED, OLD)


def test_a_model_that_cannot_be_opened_at_its_swap_is_rolled_back() -> None:
    life = in_phase(Phase.PROBATION)
    effects = life.sees(ModelFailed(an_installed(NEW).variant.sha256, "no memory"))
    assert (life.phase, life.live) == (Phase.ROLLED_BACK, OLD)
    assert only(do.Swap, effects) == [do.Swap(an_installed(OLD))]
    assert life.outcomes == [("rolled_back", NEW, 1)]


def test_a_first_version_that_cannot_be_opened_at_its_swap_is_refused_and_its_file_goes() -> None:
    life = Life().goes_to(Phase.PROBATION, OLD)
    effects = life.sees(ModelFailed(an_installed(OLD).variant.sha256, "no memory"))
    assert (life.phase, life.live) == (Phase.REJECTED, None)
    assert do.KeepOnly(()) in effects
    assert life.outcomes == [("rejected", OLD, 1)]


def test_a_shadow_that_cannot_be_opened_makes_probation_poorer_not_impossible() -> None:
    life = in_phase(Phase.PROBATION)
    before = life.state
    assert life.sees(ModelFailed(an_installed(OLD).variant.sha256, "truncated")) == ()
    assert life.state == before


def test_the_failure_of_a_model_that_nobody_serves_changes_nothing() -> None:
    for phase in Phase:
        if phase is Phase.IDLE or phase in {Phase.REJECTED, Phase.ROLLED_BACK}:
            continue
        life = in_phase(phase)
        before = life.state
        assert life.sees(ModelFailed(a_hash("stranger"), "truncated")) == ()
        assert life.state == before


# what is simply known


def test_a_refused_bundle_changes_nothing_but_the_notice_and_a_trusted_one_clears_it() -> None:
    life = settled()
    before = life.device
    assert life.sees(PlanRefused("not signed by keys that are trusted")) == ()
    assert life.device == before
    assert life.state.moment.notice == "not signed by keys that are trusted"
    life.trusts(a_plan(OLD))
    assert life.state.moment.notice == ""


def test_an_empty_device_without_a_plan_waits_for_nothing() -> None:
    life = Life()
    assert life.sees(Started()) == (do.KeepOnly(()),)
    assert life.phase is Phase.IDLE
    assert wake_s(life.policy, life.state) is None


def test_refusals_and_commits_are_remembered_in_a_bounded_number() -> None:
    device = Device()
    for number in range(100):
        device = device.becomes(refusals=device.refuses(f"{number}.0.0", 1, "weak " * 200))
    assert len(device.refusals) == 32
    assert device.refused("99.0.0", 1) is not None
    assert device.refused("0.0.0", 1) is None
    assert all(len(refusal.reason) <= 500 for refusal in device.refusals)
