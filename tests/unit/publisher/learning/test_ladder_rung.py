"""Names of rungs are parsed or rejected; intervals and schedules keep their bounds."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import BadInput
from publisher.learning.compression.ladder_builder import count_steps
from publisher.learning.compression.prune import LEAST_BATCHES, pruning_schedule
from publisher.learning.recipe.train_settings import TrainSettings
from publisher.learning.variants.rung import ImpossibleRung, Rung, wilson
from publisher.learning.variants.schedule import Schedule
from publisher.learning.variants.variant_spec import (
    PARENT,
    RUNGS,
    NetworkSpec,
    VariantSpec,
    rungs_of_sparsity,
    variant_specs,
)


def a_rung(**changes: object) -> Rung:
    told: dict[str, object] = {
        "name": "int8", "technique": "8-bit integers throughout", "precision": "int8", "tflite": b"TFL3" * 10,
        "wire_bytes": 30, "accuracy": 0.9, "accuracy_low": 0.8, "accuracy_high": 0.95, "accuracy_samples": 100,
        "accuracy_change": -0.01, "agreement": 0.98, "latency_ms_p50": 0.1, "latency_ms_p95": 0.2,
        "memory_bytes": 1_000, "memory_peak_bytes": 2_000, "sparsity": 0.5, "took_s": 1.0,
    }  # fmt: skip
    return Rung(**{**told, **changes})  # type: ignore[arg-type] # a builder: the table above has the types


def test_an_interval_is_the_one_of_the_books() -> None:
    low, high = wilson(8, 10)
    assert [low, high] == pytest.approx([0.4902, 0.9433], abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 10_000), st.data())
def test_an_interval_holds_the_share_and_narrows_as_samples_grow(samples: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, samples))
    low, high = wilson(right, samples)
    assert 0.0 <= low <= right / samples <= high <= 1.0
    assert low < high
    more_low, more_high = wilson(10 * right, 10 * samples)
    assert more_high - more_low < high - low
    assert list(wilson(samples - right, samples)) == pytest.approx([1 - high, 1 - low], abs=1e-12)


@given(st.integers(LEAST_BATCHES, 1_000_000))
def test_pruning_draws_its_last_mask_at_full_sparsity_and_has_time_to_recover(batches: int) -> None:
    end_step, frequency = pruning_schedule(batches)
    assert frequency >= 1
    assert end_step % frequency == 0
    assert 1 <= end_step < batches
    assert end_step <= max(1, 0.6 * batches)


@pytest.mark.parametrize(
    ("name", "network", "number_format"),
    [
        ("float32", NetworkSpec(), "float32"),
        ("dynamic", NetworkSpec(), "dynamic"),
        ("qat", NetworkSpec(qat=True), "qat"),
        ("pruned-50", NetworkSpec(sparsity_percent=50), "float32"),
        ("pruned", NetworkSpec(sparsity_percent=80), "float32"),
        ("pruned-clustered-qat", NetworkSpec(sparsity_percent=80, clustered=True, qat=True), "qat"),
        ("clustered-float16", NetworkSpec(clustered=True), "float16"),
        ("student", NetworkSpec("student"), "float32"),
        ("distilled-pruned-60-int8", NetworkSpec("distilled", 60), "int8"),
    ],
)
def test_a_name_says_how_a_rung_is_made(name: str, network: NetworkSpec, number_format: str) -> None:
    assert VariantSpec.parse(name) == VariantSpec(name, network, number_format)


@pytest.mark.parametrize(
    "name",
    ["", "-", "int9", "pruned-", "pruned-0", "pruned-100", "int8-qat", "qat-pruned", "float32-", "Int8", "int8\n"],
)
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match=re.escape(repr(name))) as refused:
        VariantSpec.parse(name)
    assert "float32" in refused.value.hint or "did you mean" in refused.value.hint


def test_a_slip_of_the_pen_is_understood() -> None:
    with pytest.raises(BadInput) as refused:
        VariantSpec.parse("prunned-80-int8")
    assert refused.value.hint == "did you mean pruned-80-int8?"


def test_every_rung_has_a_technique_of_its_own() -> None:
    techniques = {VariantSpec.parse(name).technique() for name in RUNGS}
    assert len(techniques) == len(RUNGS) >= 10
    told = VariantSpec.parse("pruned-clustered-qat").technique()
    assert told == (
        "80 % of the weights pruned to zero; weights of 16 values a layer; 8-bit integers throughout, trained for them"
    )


def test_the_parent_is_made_first_and_nothing_twice() -> None:
    assert [spec.name for spec in variant_specs(["int8", "qat", "int8"])] == [PARENT, "int8", "qat"]


def test_a_share_of_ones_own_adds_rungs() -> None:
    assert rungs_of_sparsity(95) == ("pruned-95", "pruned-95-int8")
    with pytest.raises(BadInput, match="--sparsity 100"):
        rungs_of_sparsity(100)


def test_networks_are_made_in_the_order_in_which_they_need_each_other() -> None:
    schedule = Schedule(TrainSettings())
    path = schedule.chain(VariantSpec.parse("pruned-80-clustered-qat").network)
    assert path == (
        NetworkSpec(),
        NetworkSpec(sparsity_percent=80),
        NetworkSpec(sparsity_percent=80, clustered=True),
        path[-1],
    )
    assert path[-1].qat
    assert schedule.chain(NetworkSpec("distilled", seed_offset=3)) == (NetworkSpec("distilled", seed_offset=3),)


def test_a_network_that_rungs_share_is_counted_once() -> None:
    schedule = Schedule(TrainSettings(epochs=20))
    assert count_steps([PARENT, "int8"], schedule) == 4
    assert count_steps(["pruned-80"], schedule) == 4 + 10
    assert count_steps(["pruned-80", "pruned-80-int8"], schedule) == 6 + 10
    assert count_steps(["pruned-80-qat"], schedule) == 4 + 10 + 5
    assert count_steps(["student", "distilled"], schedule, distill_seeds=5) == 6 + 5 * 2 * 40


def test_facts_are_plain_json_with_the_file_by_hash() -> None:
    facts = json.loads(json.dumps(a_rung().facts()))
    assert facts["file_bytes"] == 40
    assert len(facts["sha256"]) == 64
    assert "tflite" not in facts
    assert ImpossibleRung("qat", "…", "no").facts() == {"name": "qat", "technique": "…", "reason": "no"}


def test_a_manifest_is_told_what_was_measured() -> None:
    rung = a_rung()
    assert rung.measured().accuracy == 0.9
    assert rung.requires().memory_bytes == 1_000
