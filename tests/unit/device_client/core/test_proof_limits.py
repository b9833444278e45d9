"""The limits of a proof: manifest, free memory, settings; a shortage only defers."""

from __future__ import annotations

from typing import Any, Final

import pytest

from device_client.core.conditions.readings import Readings, Unknown
from device_client.core.events import PlanTrusted
from device_client.core.policy import Thresholds, TrialLimits
from device_client.core.state import Phase
from device_client.core.trial.proof_limits import FREE, SLACK_BYTES, ProofLimits, proof_limits
from protocol.messages.manifest import Manifest, Measured, Requirements, Variant
from tests.builders import a_device, a_manifest, a_plan, a_policy, a_variant, fit_readings
from tests.engine_harness import EngineHarness
from tests.life import Life

MB: Final = 1_000_000
NEW: Final = "2.0.0"


def sized(memory_mb: float, *, latency_ms: float | None = 2.0, size_bytes: int = 10 * MB) -> Variant:
    return a_variant(
        "float32",
        of=NEW,
        size_bytes=size_bytes,
        requires=Requirements(memory_bytes=int(memory_mb * MB)),
    ).model_copy(update={"measured": Measured(accuracy=0.95, latency_ms_p95=latency_ms)})


def manifest_of(variant: Variant) -> Manifest:
    return a_manifest(NEW, variants=[variant])


def limited(
    variant: Variant, readings: Readings | None = None, *, delegated: bool = False, **trial: Any
) -> ProofLimits:
    policy = a_policy(trial=TrialLimits(**trial), delegated=delegated)
    found = proof_limits(policy, manifest_of(variant), variant, readings or fit_readings())
    assert isinstance(found, ProofLimits), found
    return found


def test_memory_is_what_the_manifest_says_several_times_over_and_the_runtimes_own() -> None:
    limits = limited(sized(30))
    assert limits.memory_max_bytes == SLACK_BYTES + 2 * 10 * MB + 3 * 30 * MB
    assert limits.memory_by == "its manifest says that it takes 30 MB"


def test_time_is_what_the_golden_set_took_there_on_a_much_slower_board() -> None:
    limits = limited(sized(30, latency_ms=4.0))
    assert limits.wall_max_s == pytest.approx(30 + 10 + 50 * 17 * 0.004, abs=0.05)
    assert limits.wall_by == "its manifest says 4 ms a sample, of which there are 16"


@pytest.mark.parametrize("lie", [sized(400, latency_ms=100_000.0), sized(400, latency_ms=1e300)])
def test_a_manifest_that_lies_large_is_held_by_the_settings(lie: Variant) -> None:
    limits = limited(lie, proof_memory_max_bytes=100 * MB, proof_wall_max_s=20.0)
    assert (limits.memory_max_bytes, limits.wall_max_s) == (100 * MB, 20.0)
    assert limits.memory_by == "proof_memory_max_bytes allows no more"
    assert limits.wall_by == "proof_wall_max_s allows no more"


@pytest.mark.parametrize("case", ["nothing measured", "on delegates"])
def test_where_the_manifest_cannot_know_the_settings_hold_alone(case: str) -> None:
    variant = sized(0, latency_ms=None) if case == "nothing measured" else sized(30)
    limits = limited(variant, delegated=case == "on delegates")
    assert (limits.memory_max_bytes, limits.wall_max_s) == (512 * 1024 * 1024, 60.0)


def test_no_proof_is_given_more_than_is_free_but_for_a_reserve() -> None:
    limits = limited(sized(30), fit_readings(memory_free_bytes=90 * MB))
    assert (limits.memory_by, limits.memory_max_bytes) == (FREE, 90 * MB - 8 * 1024 * 1024)


def test_a_memory_that_nobody_can_read_draws_no_limit() -> None:
    assert limited(sized(30), fit_readings(memory_free_bytes=Unknown("no /proc"))) == limited(sized(30))


def brought_to_its_proof(free_mb: int) -> Life:
    """The memory was enough when the download began."""
    variant = sized(80)
    policy = a_policy(memory_budget_bytes=200 * MB, thresholds=Thresholds(memory_min_bytes=0))
    life = Life(a_device(Phase.COMMITTED, live="1.0.0", plan=a_plan("1.0.0")), policy)
    life.sees(PlanTrusted(a_plan(NEW, sequence=2), {NEW: manifest_of(variant)}))
    life.reads()
    life.gets_blob()
    life.reads(memory_free_bytes=free_mb * MB)
    life.gets_blob()
    return life


def test_a_shortage_defers_with_its_figures_and_the_proof_comes_when_it_is_over() -> None:
    life = brought_to_its_proof(40)
    assert (life.phase, life.outcomes) == (Phase.DEFERRED, [])
    assert (
        life.device.reason
        == "2.0.0 could not be tried here: the proof of float32 takes up to 107 MB of memory, 40 MB are free"
    )
    assert life.state.moment.next_check_s == life.now_s + 600.0
    life.waits()
    life.reads()
    while life.phase is Phase.FETCHING:
        life.gets_blob()
    assert life.phase is Phase.PROVING


@pytest.mark.parametrize("by_what_was_free", [True, False])
def test_a_proof_that_ran_out_of_what_was_free_speaks_against_nobody(by_what_was_free: bool) -> None:
    room = EngineHarness(a_policy(thresholds=Thresholds(memory_min_bytes=0)))
    free_bytes = 40 * MB if by_what_was_free else Unknown("no /proc")
    room.sensors.readings = fit_readings(memory_free_bytes=free_bytes)
    room.starts()
    room.plans("1.0.0")
    room.sends_chunks()
    assert room.prover.order is not None
    assert (room.prover.order.memory_by == FREE) is by_what_was_free
    room.prover.ends(passed=False, reason="used more than 32 MB: no more was free", out_of_memory=True)
    assert room.phase is (Phase.DEFERRED if by_what_was_free else Phase.REJECTED)
    assert len(room.outcomes) == (0 if by_what_was_free else 1)
