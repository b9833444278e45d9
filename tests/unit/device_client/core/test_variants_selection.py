"""Which variant a device takes, in which encoding, and why none."""

from __future__ import annotations

import pytest

from device_client.core.conditions.readings import Readings, Unknown
from device_client.core.events import PlanTrusted
from device_client.core.policy import Policy
from device_client.core.state import Phase
from device_client.core.variants.selection import VariantSelection, choose
from protocol.messages.manifest import Manifest, Requirements, Variant
from protocol.messages.preprocessing import InputPreprocessing, PictureInput, Preprocessing
from tests.builders import a_golden, a_hash, a_manifest, a_plan, a_policy, a_variant, an_encoding, fit_readings
from tests.life import Life

MB = 1_000_000
BIG = a_variant("float32", size_bytes=60_000, accuracy=0.95, requires=Requirements(memory_bytes=200 * MB))
SMALL = a_variant("int8", size_bytes=9_000, accuracy=0.94, requires=Requirements(memory_bytes=20 * MB))
BOTH = a_manifest("2.0.0", variants=[BIG, SMALL])


def chosen(
    manifest: Manifest = BOTH,
    policy: Policy | None = None,
    readings: Readings | None = None,
    bases: frozenset[str] = frozenset(),
) -> VariantSelection:
    choice = choose(manifest, policy or a_policy(), readings or fit_readings(), bases)
    assert isinstance(choice, VariantSelection), choice
    return choice


def timed(name: str, accuracy: float, latency_ms: float | None) -> Variant:
    variant = a_variant(name, accuracy=accuracy)
    return variant.model_copy(update={"measured": variant.measured.model_copy(update={"latency_ms_p95": latency_ms})})


def refusal(manifest: Manifest = BOTH, policy: Policy | None = None, readings: Readings | None = None) -> str:
    choice = choose(manifest, policy or a_policy(), readings or fit_readings(), frozenset())
    assert isinstance(choice, str)
    return choice


def test_the_most_accurate_variant_is_taken_unless_the_owner_prefers_the_smallest() -> None:
    assert chosen().variant is BIG
    assert chosen().reason == "variant float32, the most accurate of 2 that fit"
    small = chosen(policy=a_policy(prefer="size"))
    assert small.variant is SMALL
    assert small.reason == "variant int8, the smallest of 2 that fit"


def test_of_equally_accurate_variants_the_smaller_is_taken() -> None:
    alike = [a_variant("float32", size_bytes=60_000), a_variant("int8", size_bytes=9_000)]
    assert chosen(a_manifest(variants=alike)).variant.name == "int8"


def test_a_variant_that_nobody_measured_comes_last() -> None:
    unmeasured = a_variant("pruned", accuracy=None, size_bytes=10)
    assert chosen(a_manifest(variants=[unmeasured, SMALL])).variant is SMALL


def test_half_of_the_free_memory_is_the_budget_unless_the_owner_sets_one() -> None:
    assert chosen(readings=fit_readings(memory_free_bytes=399 * MB)).variant is SMALL
    assert chosen(readings=fit_readings(memory_free_bytes=400 * MB)).variant is BIG
    modest = chosen(policy=a_policy(memory_budget_bytes=100 * MB))
    assert modest.variant is SMALL
    assert modest.reason == "variant int8, the only one that fits; float32 needs 200 MB of memory, 100 MB may be used"


def test_a_small_models_memory_is_told_with_its_fractions() -> None:
    tiny = a_variant("float32", accuracy=0.99, requires=Requirements(memory_bytes=4_247_552))
    choice = chosen(a_manifest(variants=[tiny, a_variant("int8")]), a_policy(memory_budget_bytes=4 * MB))
    assert choice.reason.endswith("float32 needs 4.25 MB of memory, 4 MB may be used")


def test_a_variant_that_is_too_slow_or_was_never_timed_is_passed_over_where_there_is_a_budget() -> None:
    slow = timed("float32", 0.98, 12.5)
    never = timed("float16", 0.97, None)
    quick = timed("int8", 0.95, 2.0)
    manifest = a_manifest(variants=[slow, never, quick])
    assert chosen(manifest).variant is slow
    choice = chosen(manifest, a_policy(latency_budget_ms=2.0))
    assert choice.variant is quick
    assert choice.reason == (
        "variant int8, the only one that fits; float32 takes 12.5 ms (p95 at the publisher's), 2 ms may be used;"
        " the latency of float16 was never measured, 2 ms may be used"
    )
    assert "int8 takes 2 ms (p95" in refusal(manifest, a_policy(latency_budget_ms=1.0))


@pytest.mark.parametrize("fitting", [[SMALL], []])
def test_a_long_list_of_excluded_variants_is_truncated_in_what_is_remembered(fitting: list[Variant]) -> None:
    many = [a_variant(f"variant-{number}", requires=Requirements(memory_bytes=10**12)) for number in range(30)]
    manifest = a_manifest("2.0.0", variants=[*many, *fitting])
    life = Life(policy=a_policy())
    life.sees(PlanTrusted(a_plan("2.0.0"), {"2.0.0": manifest}))
    life.reads()
    target = life.device.target
    texts = [life.device.reason, *([target.choice] if target else [])]
    assert life.phase is (Phase.FETCHING if fitting else Phase.DEFERRED)
    assert all(len(text) == 500 and text.endswith(" …") for text in texts)


def test_where_free_memory_is_unknown_and_no_budget_set_memory_rules_nothing_out() -> None:
    assert chosen(readings=fit_readings(memory_free_bytes=Unknown("no /proc"))).variant is BIG


def test_a_pinned_variant_is_taken_or_none_is() -> None:
    pinned = chosen(policy=a_policy(variant="int8"))
    assert pinned.variant is SMALL
    assert pinned.reason == "variant int8, as the settings say"
    assert "float32 is not pruned, the only one that the settings allow" in refusal(policy=a_policy(variant="pruned"))


def test_when_nothing_fits_every_variant_says_why() -> None:
    words = refusal(policy=a_policy(memory_budget_bytes=5 * MB))
    assert words.startswith("no variant of 2.0.0 fits this device: ")
    assert "float32 needs 200 MB of memory, 5 MB may be used" in words
    assert "int8 needs 20 MB of memory" in words


def test_a_variant_of_another_runtime_is_passed_over() -> None:
    strange = a_variant("tensorrt", accuracy=0.99, requires=Requirements(runtime="tensorrt"))
    assert chosen(a_manifest(variants=[strange, SMALL])).variant is SMALL
    assert "tensorrt needs the runtime tensorrt" in refusal(a_manifest(variants=[strange]))


def test_the_cheapest_encoding_that_this_client_knows_is_taken() -> None:
    raw, zstd = an_encoding("m", size_bytes=60_000), an_encoding("m", kind="zstd", size_bytes=40_000)
    strange = an_encoding("m", kind="quantum", size_bytes=1)
    manifest = a_manifest(variants=[a_variant("float32", size_bytes=60_000, encodings=[raw, zstd, strange])])
    assert chosen(manifest).encoding == raw
    assert chosen(manifest, a_policy(known_encodings=frozenset({"raw", "zstd"}))).encoding == zstd


def test_a_delta_is_taken_only_where_its_base_is() -> None:
    raw = an_encoding("m", size_bytes=60_000)
    delta = an_encoding("m", kind="tensor-delta", size_bytes=5_000, base=a_hash("the old file"))
    manifest = a_manifest(variants=[a_variant("float32", size_bytes=60_000, encodings=[raw, delta])])
    able = a_policy(known_encodings=frozenset({"raw", "tensor-delta"}))
    assert chosen(manifest, able).encoding == raw
    assert chosen(manifest, able, bases=frozenset({a_hash("the old file")})).encoding == delta


def test_a_variant_in_unknown_encodings_only_does_not_fit() -> None:
    strange = a_variant("float32", encodings=[an_encoding("m", kind="quantum")])
    assert "float32 has no encoding that this client knows" in refusal(a_manifest(variants=[strange]))


def test_a_golden_set_in_unknown_encodings_is_said_of_the_version() -> None:
    golden = a_golden().model_copy(update={"encodings": (an_encoding("g", kind="quantum"),)})
    assert "none of the encodings of the golden set" in refusal(a_manifest("2.0.0", golden=golden))


def test_a_preprocessing_that_this_client_knows_is_no_obstacle() -> None:
    prepared = a_variant("float32", requires=Requirements(runtime="tflite+preprocessing"))
    declared = Preprocessing(inputs=(InputPreprocessing(raw=PictureInput()),))
    assert chosen(a_manifest(variants=[prepared], preprocessing=declared)).variant is prepared


def test_a_newer_preprocessing_is_refused_by_its_step_before_anything_is_fetched() -> None:
    newer = {"inputs": [{"raw": {"kind": "picture"}, "steps": [{"step": "rotate", "degrees": 90}]}]}
    manifest = Manifest.from_line(a_manifest("2.0.0", preprocessing=newer).to_line())
    assert "2.0.0 needs the preprocessing step rotate" in refusal(manifest)
