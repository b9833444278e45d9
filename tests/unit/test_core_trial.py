"""Verdicts on a candidate beside the live model, and on a new live model beside the previous one."""

from __future__ import annotations

from typing import Any

import pytest

from device_client.core.policy import TrialLimits
from device_client.core.tally import Tally
from device_client.core.trial import judge_probation, judge_shadow
from tests.builders import a_tally

LIMITS = TrialLimits()
SOON_S, LATE_S = 10.0, 4_000.0
SLOW: dict[str, Any] = {"live_latency_ms_p95": 30.0, "shadow_latency_ms_p95": 130.0}


def labelled(live: int, shadow: int, of: int = 100) -> dict[str, Any]:
    return {"labelled": of, "live_correct": live, "shadow_correct": shadow}


@pytest.mark.parametrize(
    ("tally", "allowed", "words"),
    [
        (a_tally(100), True, "candidate and live model agree on 100% of 100 live inputs"),
        (a_tally(100, agreed=80), True, "agree on 80%"),
        (a_tally(100, agreed=79), False, "agree on 79% of 100 live inputs, 80% is wanted"),
        (a_tally(100, shadow_errors=3, agreed=97), True, "agree on 100%"),
        (a_tally(20, shadow_errors=4), False, "the candidate failed on 4 of 20 live inputs"),
        (a_tally(100, agreed=10, **labelled(80, 95)), True, "candidate 95%, live model 80% right on 100 labelled"),
        (a_tally(100, **labelled(90, 85)), True, "candidate 85%"),
        (a_tally(100, **labelled(90, 84)), False, "candidate 84%, live model 90% right"),
        (a_tally(100, agreed=50, **labelled(20, 20, of=29)), False, "agree on 50%"),  # too few labels to decide by
        (a_tally(100, **SLOW), False, "the candidate takes 130.0 ms (p95), the live model 30.0 ms"),
        (a_tally(100, live_latency_ms_p95=1.0, shadow_latency_ms_p95=19.0), True, "agree"),  # quick enough for anyone
        (a_tally(100, live_latency_ms_p95=30.0, shadow_latency_ms_p95=119.0), True, "agree"),
    ],
)
def test_a_candidate_is_judged_by_what_it_did(tally: Tally, allowed: bool, words: str) -> None:
    verdict = judge_shadow(tally, SOON_S, LIMITS)
    assert verdict is not None
    assert verdict.allowed is allowed
    assert words in verdict.reason


def test_a_candidate_waits_for_its_evidence_until_the_deadline() -> None:
    assert judge_shadow(a_tally(99), SOON_S, LIMITS) is None
    assert judge_shadow(Tally(), LIMITS.shadow_deadline_s - 1, LIMITS) is None


@pytest.mark.parametrize(
    ("inputs", "choice", "allowed"), [(0, "adopt", True), (7, "adopt", True), (7, "reject", False)]
)
def test_after_the_deadline_the_owner_decides_where_there_is_little_evidence(
    inputs: int, choice: Any, allowed: bool
) -> None:
    verdict = judge_shadow(a_tally(inputs), LATE_S, TrialLimits(without_evidence=choice))
    assert verdict is not None
    assert verdict.allowed is allowed
    assert verdict.reason == f"only {inputs} live inputs in 4000 s, 100 are wanted; the settings say to {choice}"


@pytest.mark.parametrize("tally", [a_tally(7, agreed=2), a_tally(3, agreed=0, shadow_errors=3)])
def test_after_the_deadline_little_evidence_against_a_candidate_is_still_against_it(tally: Tally) -> None:
    verdict = judge_shadow(tally, LATE_S, TrialLimits(without_evidence="adopt"))
    assert verdict is not None
    assert not verdict.allowed


@pytest.mark.parametrize(
    ("tally", "elapsed_s", "allowed", "words"),
    [
        (a_tally(100), 60.0, True, "100 inferences on probation, 0 failed"),
        (a_tally(100, live_errors=3), 60.0, True, "3 failed"),
        (a_tally(10, live_errors=4), 1.0, False, "4 of 10 inferences failed on probation"),
        (a_tally(100, agreed=20), 1.0, False, "new model and previous one agree on 20%"),
        (a_tally(100, agreed=20, **labelled(95, 30)), 60.0, True, "100 inferences"),
        (a_tally(100, **labelled(30, 95)), 1.0, False, "new model 30%, previous one 95% right"),
        (a_tally(100, live_latency_ms_p95=130.0, shadow_latency_ms_p95=30.0), 1.0, False, "the new model takes 130.0"),
        (a_tally(100, shadow_errors=100, agreed=0), 60.0, True, "100 inferences"),  # the previous one is dumb
        (Tally(live_inferences=100), 60.0, True, "100 inferences"),  # there is no previous one
        (Tally(live_inferences=2), 3_600.0, True, "3600 s on probation, 2 inferences, none against it"),
    ],
)
def test_a_new_model_stays_unless_something_speaks_against_it(
    tally: Tally, elapsed_s: float, allowed: bool, words: str
) -> None:
    verdict = judge_probation(tally, elapsed_s, LIMITS)
    assert verdict is not None
    assert verdict.allowed is allowed
    assert words in verdict.reason


@pytest.mark.parametrize(("inferences", "elapsed_s"), [(1_000, 59.0), (99, 60.0), (0, 3_599.0)])
def test_probation_lasts_its_time_and_its_inferences(inferences: int, elapsed_s: float) -> None:
    assert judge_probation(a_tally(inferences), elapsed_s, LIMITS) is None


def test_shares_are_unknown_before_there_is_anything_to_share() -> None:
    assert (Tally().agreement, Tally().live_accuracy, Tally().shadow_accuracy) == (None, None, None)
    assert Tally(inputs=3, shadow_errors=3).agreement is None
