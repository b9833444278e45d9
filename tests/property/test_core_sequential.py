"""E-values by betting: fair under a true hypothesis, sure under a false one."""

from __future__ import annotations

from itertools import product
from math import comb, prod
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_client.core.trial.e_values import E_MAX, Counted, evidence_above, evidence_below

SIGNS: Final = (-1.0, 0.0, 1.0)
counts = st.integers(0, 400)
means = st.sampled_from((-0.2, 0.0, 0.05, 0.3))


def of(minus: int, zero: int, plus: int) -> Counted:
    return Counted(SIGNS, (minus, zero, plus))


@pytest.mark.parametrize("shares", [(0.2, 0.6, 0.2), (0.02, 0.96, 0.02), (0.5, 0.0, 0.5), (0.1, 0.75, 0.15)])
def test_under_what_is_supposed_nobody_gains_on_average(shares: tuple[float, float, float]) -> None:
    """Exact over all outcomes of nine inputs: the mean e-value is 1."""
    mean, inputs = shares[2] - shares[0], 9
    above = below = 0.0
    for minus, plus in product(range(inputs + 1), repeat=2):
        if minus + plus > inputs:
            continue
        zero = inputs - minus - plus
        ways = comb(inputs, minus) * comb(inputs - minus, plus)
        likely = ways * prod(share**count for share, count in zip(shares, (minus, zero, plus), strict=True))
        above += likely * evidence_above(of(minus, zero, plus), mean)
        below += likely * evidence_below(of(minus, zero, plus), mean)
    assert above == pytest.approx(1.0)
    assert below == pytest.approx(1.0)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_who_looks_after_every_input_still_errs_no_more_often_than_promised(share: float, rate: float) -> None:
    """Ville's inequality, exact, for a true hypothesis and 150 readings."""
    alive, refuted = {0: 1.0}, 0.0  # hits so far: how likely
    for inputs in range(1, 151):
        after: dict[int, float] = {}
        for hits, likely in alive.items():
            for more, chance in ((1, share), (0, 1 - share)):
                after[hits + more] = after.get(hits + more, 0.0) + likely * chance
        gone = {hits for hits in after if evidence_above(Counted((0.0, 1.0), (inputs - hits, hits)), share) >= 1 / rate}
        refuted += sum(after[hits] for hits in gone)
        alive = {hits: likely for hits, likely in after.items() if hits not in gone}
    assert 0 < refuted <= rate


@given(counts, counts, counts, means)
def test_each_input_moves_the_evidence_its_own_way(minus: int, zero: int, plus: int, mean: float) -> None:
    before = evidence_above(of(minus, zero, plus), mean)
    assert evidence_above(of(minus, zero, plus + 1), mean) >= before
    assert evidence_above(of(minus + 1, zero, plus), mean) <= before
    assert 0.0 <= before <= E_MAX * 1.01


@given(counts, counts, counts, means)
def test_both_sides_are_mirrors_of_each_other(minus: int, zero: int, plus: int, mean: float) -> None:
    assert evidence_below(of(minus, zero, plus), mean) == pytest.approx(evidence_above(of(plus, zero, minus), -mean))


def test_nothing_seen_says_nothing() -> None:
    assert evidence_above(of(0, 0, 0), 0.0) == evidence_below(of(0, 0, 0), 0.05) == pytest.approx(1.0)


def test_a_supposition_at_the_very_bound_falls_with_the_first_input_off_it() -> None:
    never = Counted((0.0, 1.0), (1_000, 0))
    assert evidence_above(never, 0.0) == pytest.approx(1.0)
    assert evidence_above(Counted((0.0, 1.0), (1_000, 1)), 0.0) > 1e6


def test_what_is_false_is_refuted_in_the_end() -> None:
    e_values = [evidence_above(of(2 * n, 91 * n, 7 * n), 0.0) for n in (1, 2, 4, 8, 16)]
    assert e_values == sorted(e_values)
    assert e_values[-1] > 1e6
