"""Another variant of the live version when the situation of the device has changed."""

from __future__ import annotations

from typing import Any, Final

import pytest

from device_client.core.conditions.readings import Unknown
from device_client.core.effects import Announce, KeepOnly, OpenBlob, StopTrial, Swap, TakeReadings
from device_client.core.events import ModelFailed, PlanTrusted, ProofEnded
from device_client.core.policy import Policy
from device_client.core.state import Device, Installed, Phase
from device_client.core.state_machine import wake_s
from protocol.messages.manifest import Manifest, Requirements, Variant
from protocol.messages.plan import Plan
from tests.builders import a_device, a_manifest, a_plan, a_policy, a_variant, an_installed
from tests.life import Life, only

MB: Final = 1_000_000
OLD, LIVE, NEW = "1.0.0", "2.0.0", "3.0.0"
RECHECK_S: Final = 3_600.0


def two_sizes(version: str) -> Manifest:
    """float32 is the better one and needs 200 MB, int8 needs 20 MB."""
    large = a_variant("float32", of=version, accuracy=0.95, requires=Requirements(memory_bytes=200 * MB))
    small = a_variant("int8", of=version, accuracy=0.94, requires=Requirements(memory_bytes=20 * MB))
    return a_manifest(version, variants=[_quick(large), _quick(small)])


def _quick(variant: Variant) -> Variant:
    """At the publisher's; on a device a proof shows."""
    measured = variant.measured.model_copy(update={"latency_ms_p95": 1.0})
    return variant.model_copy(update={"measured": measured})


MANIFEST: Final = two_sizes(LIVE)
LARGE, SMALL = MANIFEST.variants


class Fitted(Life):
    """A device that runs LIVE in one of two variants, with OLD behind it."""

    def __init__(self, variant: Variant = LARGE, policy: Policy | None = None) -> None:
        live = Installed(manifest=MANIFEST, variant=variant, choice=f"variant {variant.name}, as it was")
        device = a_device(Phase.COMMITTED, previous=OLD, live=LIVE, plan=a_plan(LIVE))
        super().__init__(device.becomes(live=live, manifests={LIVE: MANIFEST}), policy)

    @property
    def variant(self) -> str:
        """What serves."""
        assert self.device.live is not None
        return self.device.live.variant.name

    def trusts(self, plan: Plan) -> tuple[Any, ...]:
        """Every version comes in two sizes, but OLD."""
        known = {version: a_manifest(OLD) if version == OLD else two_sizes(version) for version in plan.versions()}
        return self.sees(PlanTrusted(plan, known))

    def looks(self, *, free_mb: int) -> None:
        """Wait until the next look at the variants, and let the readings come."""
        assert only(TakeReadings, self.waits()) == [TakeReadings()]
        self.reads(memory_free_bytes=free_mb * MB)

    def looks_twice(self, *, free_mb: int) -> None:
        """A situation that lasts."""
        self.looks(free_mb=free_mb)
        self.looks(free_mb=free_mb)

    def takes_it(self, to: Phase) -> None:
        """What was begun goes on, well, as far as `to`."""
        while self.phase is not to:
            match self.phase:
                case Phase.FETCHING:
                    self.gets_blob()
                case Phase.PROVING:
                    self.proves()
                case Phase.SHADOWING | Phase.PROBATION:
                    self.counts()
                case other:
                    raise AssertionError(other)


def scarce() -> Fitted:
    """Memory has become scarce, and stays so; the small variant is being fetched."""
    life = Fitted()
    life.looks_twice(free_mb=50)
    life.reads(memory_free_bytes=50 * MB)
    assert life.phase is Phase.FETCHING
    return life


def test_memory_that_becomes_scarce_makes_a_device_take_the_smaller_variant_and_say_why() -> None:
    life = Fitted()
    life.looks_twice(free_mb=50)
    assert (life.phase, life.device.reason) == (
        Phase.ASSIGNED,
        "int8 of 2.0.0 now suits this device better than float32",
    )
    life.reads(memory_free_bytes=50 * MB)
    life.takes_it(Phase.COMMITTED)
    assert (life.live, life.variant, life.previous) == (LIVE, "int8", OLD)
    assert life.device.reason.endswith(
        "variant int8, the only one that fits; float32 needs 200 MB of memory, 125 MB may be used"
    )
    assert life.outcomes == [("adopted", LIVE, 1)]
    said = only(Announce, life.asked)[0]
    assert (said.variant, said.from_version, said.refit) == ("int8", LIVE, 1)
    kept = only(KeepOnly, life.asked)[-1]
    assert set(kept.sha256s) == {SMALL.sha256, an_installed(OLD).variant.sha256}


def test_a_moment_of_scarcity_changes_nothing() -> None:
    life = Fitted()
    life.looks(free_mb=50)
    life.looks(free_mb=900)
    assert (life.phase, life.variant, life.state.moment.recheck.preferred) == (Phase.COMMITTED, "float32", "")
    due_s = wake_s(life.policy, life.state)
    assert due_s == life.now_s + RECHECK_S


def test_what_the_live_variant_holds_itself_counts_as_free() -> None:
    life = Fitted()
    life.looks_twice(free_mb=250)  # half of 250 and its own 200
    assert (life.phase, life.variant) == (Phase.COMMITTED, "float32")


def test_a_larger_variant_must_fit_with_room_to_spare_or_the_two_would_take_turns() -> None:
    life = Fitted(SMALL)
    life.looks_twice(free_mb=450)  # enough for float32 at a release, not for a change
    assert (life.phase, life.variant) == (Phase.COMMITTED, "int8")
    life.looks_twice(free_mb=600)
    life.reads(memory_free_bytes=600 * MB)
    life.takes_it(Phase.COMMITTED)
    assert life.variant == "float32"


def test_new_settings_are_followed_at_the_first_look() -> None:
    life = Fitted(policy=a_policy(memory_budget_bytes=100 * MB))
    life.restarts()
    assert "float32 needs 200 MB" in life.device.reason
    life.looks(free_mb=900)
    assert life.phase is Phase.ASSIGNED


def test_where_nothing_better_fits_the_live_variant_serves_on() -> None:
    life = Fitted(policy=a_policy(memory_budget_bytes=10 * MB))
    life.looks_twice(free_mb=900)
    assert (life.phase, life.variant) == (Phase.COMMITTED, "float32")


def test_a_change_of_variant_waits_for_fit_conditions_as_an_update_does() -> None:
    life = Fitted()
    life.looks_twice(free_mb=50)
    life.reads(memory_free_bytes=100 * MB, battery_percent=5.0)
    assert (life.phase, life.variant) == (Phase.DEFERRED, "float32")
    assert "battery" in life.device.reason
    life.waits()
    life.reads(memory_free_bytes=100 * MB)
    assert life.phase is Phase.FETCHING


def test_it_is_given_up_when_the_situation_is_as_it_was_before_it_could_begin() -> None:
    life = Fitted()
    life.looks_twice(free_mb=50)
    life.reads(memory_free_bytes=900 * MB)
    assert (life.phase, life.variant, life.device.refit) == (Phase.COMMITTED, "float32", "")


@pytest.mark.parametrize("phase", [Phase.PROVING, Phase.SHADOWING])
def test_a_variant_that_fails_its_trial_costs_nothing_but_the_trial(phase: Phase) -> None:
    life = scarce()
    life.takes_it(phase)
    if phase is Phase.PROVING:
        life.proves(passed=False, reason="golden outputs differ by 0.5")
    else:
        life.sees(ModelFailed(SMALL.sha256, "golden outputs differ by 0.5"))
    assert (life.phase, life.variant, life.previous) == (Phase.COMMITTED, "float32", OLD)
    assert life.device.refusals == ()
    assert life.outcomes == [("rejected", LIVE, 1)]
    assert "int8" in life.device.reason
    assert "golden outputs differ by 0.5" in life.device.reason
    life.looks_twice(free_mb=50)
    assert life.phase is Phase.COMMITTED, "it is not tried again"


def test_on_probation_both_ways_back_are_kept_and_a_bad_variant_gives_way_to_the_one_before() -> None:
    life = scarce()
    life.takes_it(Phase.PROBATION)
    assert (life.variant, life.previous) == ("int8", LIVE)
    assert {installed.version for installed in life.device.installed()} == {OLD, LIVE}
    effects = life.counts(live_errors=50)
    assert (life.phase, life.variant, life.previous) == (Phase.COMMITTED, "float32", OLD)
    assert [swap.model.variant.name for swap in only(Swap, effects)] == ["float32"]
    assert life.outcomes == [("rolled_back", LIVE, 1)]
    assert life.device.refusals == ()


def test_a_recall_to_the_version_before_ends_a_probation_of_a_variant() -> None:
    life = scarce()
    life.takes_it(Phase.PROBATION)
    life.plans(OLD)
    life.reads()
    life.gets_blob()
    life.counts()
    assert (life.phase, life.live, life.previous) == (Phase.COMMITTED, OLD, LIVE)
    assert life.device.previous is not None
    assert life.device.previous.variant.name == "float32", "the way back is what was found good"
    assert life.device.behind is None


@pytest.mark.parametrize("phase", [Phase.ASSIGNED, Phase.FETCHING, Phase.PROVING, Phase.SHADOWING])
def test_a_newer_plan_goes_before_a_change_of_variant(phase: Phase) -> None:
    life = Fitted()
    life.looks_twice(free_mb=50)
    if phase is not Phase.ASSIGNED:
        life.reads(memory_free_bytes=100 * MB)
        life.takes_it(phase)
    effects = life.plans(NEW)
    assert (life.phase, life.device.refit, life.device.reason) == (
        Phase.ASSIGNED,
        "",
        f"plan 2 asks for {NEW} (every device)",
    )
    assert (StopTrial() in effects) == (phase is not Phase.ASSIGNED)
    assert (life.variant, life.previous) == ("float32", OLD)


@pytest.mark.parametrize(
    "phase", [Phase.ASSIGNED, Phase.FETCHING, Phase.PROVING, Phase.SHADOWING, Phase.PROBATION, Phase.COMMITTED]
)
def test_a_change_of_variant_survives_the_end_of_the_process(phase: Phase) -> None:
    life = Fitted()
    life.looks_twice(free_mb=50)
    if phase is not Phase.ASSIGNED:
        life.reads(memory_free_bytes=100 * MB)
        life.takes_it(phase)
    life.restarts()
    if life.phase is Phase.ASSIGNED:
        life.reads(memory_free_bytes=100 * MB)
    life.takes_it(Phase.COMMITTED)
    assert (life.variant, life.previous) == ("int8", OLD)
    assert set(life.outcomes) == {("adopted", LIVE, 1)}


def test_what_the_publisher_holds_is_not_changed_either() -> None:
    life = Fitted()
    life.plans(LIVE, hold=True)
    assert wake_s(life.policy, life.state) is None
    life.plans(LIVE)
    life.looks_twice(free_mb=50)
    life.reads(memory_free_bytes=100 * MB)
    life.plans(LIVE, hold=True)
    assert (life.phase, life.variant) == (Phase.DEFERRED, "float32")


def test_where_a_version_has_one_variant_there_is_nothing_to_look_at() -> None:
    life = Life(a_device(Phase.COMMITTED, live=OLD, plan=a_plan(OLD)))
    alone = a_manifest(OLD, variants=[a_variant("float32", of=OLD)])
    live = Installed(manifest=alone, variant=alone.variants[0])
    life.state = life.state.with_device(live=live, manifests={OLD: alone})
    assert wake_s(life.policy, life.state) is None


def test_a_variant_that_its_proof_shows_too_slow_for_this_device_gives_way_to_another() -> None:
    life = Fitted(policy=a_policy(latency_budget_ms=5.0, memory_budget_bytes=500 * MB))
    life.plans(NEW)
    life.reads()
    life.takes_it(Phase.PROVING)
    assert _proves_slow(life, latency_ms=8.0) == "float32"
    assert (life.phase, life.device.reason) == (
        Phase.ASSIGNED,
        "float32 takes 8 ms on this device (median), 5 ms may be used",
    )
    life.reads()
    life.takes_it(Phase.COMMITTED)
    assert (life.live, life.variant, life.previous) == (NEW, "int8", LIVE)
    assert all(datum in life.device.reason for datum in ("float32", "8 ms", "5 ms"))
    life.policy = a_policy(latency_budget_ms=10.0, memory_budget_bytes=500 * MB)
    life.restarts()
    life.looks_twice(free_mb=900)
    assert life.phase is Phase.ASSIGNED, "a larger budget makes it fit after all"


def test_where_every_variant_is_too_slow_the_device_says_so_and_looks_again() -> None:
    life = Life(Device(), a_policy(latency_budget_ms=5.0))
    life.sees(PlanTrusted(a_plan(NEW), {NEW: two_sizes(NEW)}))
    for _ in range(2):
        life.reads(memory_free_bytes=900 * MB)
        while life.phase is Phase.FETCHING:
            life.gets_blob()
        _proves_slow(life, latency_ms=8.0)
    life.reads(memory_free_bytes=900 * MB)
    assert (life.phase, life.live) == (Phase.DEFERRED, None)
    assert all(datum in life.device.reason for datum in (NEW, "float32 takes 8 ms"))
    assert wake_s(life.policy, life.state) is not None


def _proves_slow(life: Life, *, latency_ms: float) -> str:
    target = life.device.target
    assert target is not None
    life.sees(ProofEnded(target.variant.sha256, True, "right", samples=16, max_error=0.0, latency_ms_p50=latency_ms))
    return target.variant.name


def test_a_way_back_takes_the_variant_whose_file_is_here_whatever_memory_is_free_now() -> None:
    life = scarce()
    life.takes_it(Phase.COMMITTED)
    life.plans(NEW)
    life.reads(memory_free_bytes=900 * MB)
    life.takes_it(Phase.COMMITTED)
    assert (life.live, life.variant) == (NEW, "float32")
    life.plans(LIVE)
    life.reads(memory_free_bytes=900 * MB)
    assert [blob.sha256 for blob in only(OpenBlob, life.asked)][-1] == SMALL.sha256
    life.takes_it(Phase.COMMITTED)
    assert (life.live, life.variant) == (LIVE, "int8")
    assert "variant int8, the only one that fits" in life.device.reason, "as it was chosen then"


def test_memory_that_stays_scarce_does_not_interrupt_the_change_that_relieves_it() -> None:
    life = scarce()
    stops = [only(StopTrial, life.reads(memory_free_bytes=40 * MB, battery_percent=each)) for each in (90.0, 5.0)]
    assert stops == [[], [StopTrial()]], "but a low battery does"


def test_less_memory_than_even_the_smaller_variant_needs_is_waited_out() -> None:
    life = Fitted()
    life.looks_twice(free_mb=15)
    life.reads(memory_free_bytes=15 * MB)
    assert (life.phase, life.variant) == (Phase.DEFERRED, "float32")
    assert "15 MB" in life.device.reason


def test_an_unknown_memory_is_no_reason_for_a_larger_variant() -> None:
    life = Fitted(SMALL)
    for _ in range(2):
        life.waits()
        life.reads(memory_free_bytes=Unknown("no /proc"))
    assert (life.phase, life.variant) == (Phase.COMMITTED, "int8")


def test_two_variants_cannot_take_turns_for_ever() -> None:
    life = Fitted()
    pauses_s = []
    for free_mb in (50, 900) * 3:  # the manifest knows half of what the large one really holds
        life.looks_twice(free_mb=free_mb)
        begun_s = life.now_s
        life.reads(memory_free_bytes=free_mb * MB)
        life.takes_it(Phase.COMMITTED)
        due_s = wake_s(life.policy, life.state)
        assert due_s is not None
        pauses_s.append(due_s - begun_s)
    assert pauses_s == [RECHECK_S * 2**refits for refits in range(1, 7)]
    life.plans(NEW)
    life.reads()
    life.takes_it(Phase.COMMITTED)
    assert life.device.refits == 0, "a new version starts anew"


def test_a_better_variant_whose_file_is_the_way_back_is_taken_too() -> None:
    """One file can be in two versions: nothing was changed but the other variant."""
    life = Fitted(SMALL)
    twin = Installed(manifest=a_manifest(OLD, variants=[LARGE]), variant=LARGE)
    life.state = life.state.with_device(previous=twin)
    life.looks_twice(free_mb=900)
    life.reads(memory_free_bytes=900 * MB)
    life.takes_it(Phase.COMMITTED)
    assert (life.live, life.variant, life.previous) == (LIVE, "float32", OLD)


def test_the_proof_of_what_is_live_counts_when_the_budget_becomes_smaller() -> None:
    life = Fitted(policy=a_policy(memory_budget_bytes=500 * MB))
    life.plans(NEW)
    life.reads()
    life.takes_it(Phase.PROVING)
    assert _proves_slow(life, latency_ms=8.0) == "float32"
    life.takes_it(Phase.COMMITTED)
    life.policy = a_policy(memory_budget_bytes=500 * MB, latency_budget_ms=5.0)
    life.restarts()
    assert all(datum in life.device.reason for datum in ("float32", "8 ms", "5 ms"))
    life.looks(free_mb=900)
    life.reads()
    life.takes_it(Phase.COMMITTED)
    assert (life.live, life.variant) == (NEW, "int8")


def test_a_variant_that_proves_too_slow_in_a_change_is_told_of_and_given_up() -> None:
    life = scarce()
    life.policy = a_policy(latency_budget_ms=5.0)
    life.takes_it(Phase.PROVING)
    _proves_slow(life, latency_ms=8.0)
    assert (life.phase, life.variant, life.outcomes) == (Phase.COMMITTED, "float32", [("rejected", LIVE, 1)])
    assert "int8 takes 8 ms" in life.device.reason


def test_a_change_that_got_stuck_is_thought_over() -> None:
    life = scarce()
    life.misses("a chunk")
    while life.phase is Phase.FETCHING:
        if only(TakeReadings, life.waits()):
            life.reads(memory_free_bytes=50 * MB)
    assert life.phase is Phase.STALLED
    life.waits()
    life.reads(memory_free_bytes=900 * MB)
    assert (life.phase, life.variant, life.device.refit) == (Phase.COMMITTED, "float32", "")
