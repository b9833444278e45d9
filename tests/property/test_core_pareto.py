"""Exactly the rungs that are beaten or miss a gate are not shipped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from publisher.core.release.gates import Baseline, Figures, Gates, failures
from publisher.core.release.pareto import dominates, dominator, front, select, without_worse

SHARES = some.integers(0, 10).map(lambda tenths: tenths / 10)  # few values, so that many are equal
FIGURES = some.builds(
    Figures,
    accuracy=some.none() | SHARES,
    wire_bytes=some.integers(0, 10),
    latency_ms_p50=some.none() | some.floats(0, 5),
    latency_ms_p95=some.none() | some.floats(0, 5),
)
CANDIDATES = some.dictionaries(some.sampled_from("abcdefghij"), FIGURES, max_size=10)
GATES = some.builds(
    Gates,
    min_accuracy=some.none() | SHARES,
    max_drop=SHARES,
    max_wire_bytes=some.none() | some.integers(0, 10),
    max_latency_ms=some.none() | some.floats(0, 5),
)
STANDING = some.none() | some.builds(Baseline, some.just("1.0.0"), some.dictionaries(some.just("float32"), SHARES))


@given(CANDIDATES)
def test_no_member_of_the_front_is_beaten_and_every_other_is(candidates: dict[str, Figures]) -> None:
    members = front(candidates)
    for name, figures in candidates.items():
        beaten = any(dominates(candidates[member], figures) for member in members)
        assert beaten == (name not in members)


@given(CANDIDATES, STANDING, GATES)
def test_what_is_not_shipped_is_beaten_by_what_is_or_misses_a_gate(
    candidates: dict[str, Figures], standing: Baseline | None, gates: Gates
) -> None:
    chosen = select(candidates, standing, gates)
    assert set(chosen.shipped) | set(chosen.left_out) == set(candidates)
    assert not set(chosen.shipped) & set(chosen.left_out)
    shipped = {name: candidates[name] for name in chosen.shipped}
    assert not failures(shipped, standing, gates)
    for name in shipped:
        assert not any(dominates(other, shipped[name]) for other in shipped.values())
    for name in chosen.left_out:
        missed = failures({name: candidates[name]}, standing, gates)
        assert missed or any(dominates(member, candidates[name]) for member in shipped.values())


@given(CANDIDATES)
def test_the_most_accurate_and_the_smallest_are_always_represented(candidates: dict[str, Figures]) -> None:
    members = [candidates[name] for name in front(candidates)]
    assert bool(members) == bool(candidates)
    if candidates:
        assert min(member.wire_bytes for member in members) == min(c.wire_bytes for c in candidates.values())
        known = [c.accuracy for c in candidates.values() if c.accuracy is not None]
        if known:
            assert max(m.accuracy for m in members if m.accuracy is not None) == max(known)


@given(CANDIDATES)
def test_who_is_beaten_is_told_by_one_that_is_shipped(candidates: dict[str, Figures]) -> None:
    members = front(candidates)
    assert {dominator(name, candidates) for name in candidates if name not in members} <= set(members)


def test_a_latency_that_differs_by_noise_only_saves_nobody() -> None:
    better, noisy = Figures(0.95, 40_000, latency_ms_p50=0.0200), Figures(0.94, 40_000, latency_ms_p50=0.0199)
    assert front({"int8": better, "dynamic": noisy}) == ("int8",)
    quick = Figures(0.94, 40_000, latency_ms_p50=0.010)
    assert front({"int8": better, "quick": quick}) == ("int8", "quick")


def test_each_that_is_left_out_is_told_why() -> None:
    candidates = {
        "float32": Figures(0.97, 400_000, 0.02),
        "float16": Figures(0.97, 420_000, 0.02),
        "int8": Figures(0.90, 40_000, 0.02),
    }
    chosen = select(candidates, None, Gates(min_accuracy=0.95))
    assert chosen.shipped == ("float32",)
    assert chosen.left_out == {
        "float16": "float16 is not better than float32 in anything",
        "int8": "the accuracy of int8 is 0.900, under the 0.950 asked for",
    }


PARENT = Figures(0.9, 1_000, 0.2, 0.3)


def test_what_is_larger_slower_and_no_better_than_the_parent_is_left_out_with_its_figures() -> None:
    worse = Figures(0.9, 2_000, 0.5, 0.6, "mIoU")
    chosen = without_worse({"float32": PARENT, "int8": worse}, PARENT)
    assert chosen.shipped == ("float32",)
    assert list(chosen.left_out) == ["int8"]
    assert "2,000 bytes on the wire for 1,000, 0.5 ms for 0.2, mIoU 0.900 for 0.900" in chosen.left_out["int8"]


@given(FIGURES, FIGURES)
def test_what_is_better_in_anything_is_shipped(parent: Figures, figures: Figures) -> None:
    known = None not in (figures.accuracy, parent.accuracy, figures.latency_ms_p50, parent.latency_ms_p50)
    shipped = without_worse({"int8": figures}, parent).shipped == ("int8",)
    if not known or figures.wire_bytes <= parent.wire_bytes:
        assert shipped
    if known and not shipped:
        assert dominates(parent, figures)
