"""Verdicts on a candidate, and on a new live model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from device_client.core.policy import TrialLimits
from device_client.core.trial.tally import DROP_BINS, Tally
from device_client.core.trial.verdict import TrialVerdict, judge_probation, judge_shadow
from tests.builders import a_tally

LIMITS = TrialLimits()
NOW_S, SOON_S, LATE_S = 10.0, 100.0, 4_000.0  # before labels were waited for; in good time; after both deadlines
P95: dict[str, Any] = {"live_latency_ms_p95": 30.0, "shadow_latency_ms_p95": 130.0}


def labelled(only_live: int, only_shadow: int, of: int) -> dict[str, Any]:
    """Labelled inputs on which only one model was right, and the rest both."""
    both = of - only_live - only_shadow
    return {"labelled": of, "both_correct": both, "only_live_correct": only_live, "only_shadow_correct": only_shadow}


def less_sure(tenths: int, inputs: int) -> dict[str, Any]:
    """The shadow's confidence is under the live model's by so much, on every input."""
    drops = [0] * DROP_BINS
    drops[DROP_BINS // 2 + tenths] = inputs
    return {"confidence_drops": tuple(drops)}


def shadow(tally: Tally, elapsed_s: float = SOON_S, **limits: Any) -> TrialVerdict | None:
    return judge_shadow(tally, elapsed_s, replace(LIMITS, **limits))


def drawn(verdict: TrialVerdict | None) -> TrialVerdict:
    assert verdict is not None
    return verdict


@pytest.mark.parametrize(
    ("tally", "allowed", "by", "words"),
    [
        (a_tally(40), True, "agreement", "candidate and live model agree on 100% of 40 live inputs"),
        (a_tally(100, agreed=94), True, "agreement", "agree on 94%"),
        (a_tally(100, agreed=70), False, "agreement", "agree on 70% of 100 live inputs"),
        (a_tally(100, shadow_errors=3, agreed=97), True, "agreement", "agree on 100% of 97"),
        (a_tally(20, shadow_errors=4), False, "errors", "the candidate failed on 4 of 20 live inputs"),
        (a_tally(200, **labelled(2, 2, 200)), True, "accuracy", "candidate 99%, live model 99% right on 200 labelled"),
        (a_tally(100, **labelled(25, 5, 100)), False, "accuracy", "candidate 75%, live model 95% right on 100"),
        (a_tally(100, agreed=10, **labelled(5, 60, 100)), True, "accuracy", "candidate 95%, live model 40%"),
        (a_tally(8, agreed=0, **labelled(8, 0, 8)), False, "accuracy", "candidate 0%, live model 100%"),
        (a_tally(60, shadow_slow=30, **P95), False, "latency", "too slow on 30 of 60 live inputs (130.0 ms, the live"),
        (a_tally(60, shadow_slow=1, **P95), True, "agreement", "agree on 100%"),
        (a_tally(60, live_slow=60), True, "agreement", "agree on 100%"),  # a quicker one is welcome
        (a_tally(60, **less_sure(0, 60)), True, "agreement", "agree on 100%"),
        (a_tally(60, **less_sure(1, 60)), True, "agreement", "agree on 100%"),
        (a_tally(60, **less_sure(-4, 60)), True, "agreement", "agree on 100%"),
        (a_tally(60, **less_sure(5, 60)), False, "confidence", "is 0.50 less sure than the live model on 60"),
        (a_tally(200, **less_sure(5, 200), **labelled(2, 2, 200)), True, "accuracy", "99%"),  # labels decide
    ],
)
def test_a_candidate_is_judged_by_what_it_did(tally: Tally, allowed: bool, by: str, words: str) -> None:
    verdict = drawn(shadow(tally))
    assert (verdict.allowed, verdict.decided_by) == (allowed, by)
    assert words in verdict.reason


@pytest.mark.parametrize(
    "tally",
    [
        Tally(),
        a_tally(5),
        a_tally(60, agreed=53),  # between what is good and what is not
        a_tally(40, **labelled(0, 0, 40)),  # the 95 % upper bound of no difference in 40 is over 5 points
        a_tally(4, agreed=0, **labelled(4, 0, 4)),
        a_tally(60, shadow_slow=7),
        a_tally(60, **less_sure(2, 60)),  # no more than is allowed, but that is not shown
    ],
)
def test_a_candidate_waits_for_its_evidence_until_the_deadline(tally: Tally) -> None:
    assert shadow(tally) is None
    assert shadow(tally, LIMITS.shadow_deadline_s - 1) is None
    assert shadow(tally, LIMITS.shadow_deadline_s) is not None


def test_agreement_decides_nothing_while_labels_may_still_come() -> None:
    same, other = a_tally(200), a_tally(200, agreed=0)
    assert shadow(same, NOW_S) is None
    assert shadow(other, NOW_S) is None
    assert drawn(shadow(same, LIMITS.labels_wait_s)).allowed
    assert not drawn(shadow(other, LIMITS.labels_wait_s)).allowed
    assert drawn(shadow(a_tally(200, **labelled(0, 0, 200)), NOW_S)).decided_by == "accuracy"


@pytest.mark.parametrize("agreed", [500, 0])
def test_where_labels_come_agreement_is_asked_only_when_time_is_up(agreed: int) -> None:
    tally = a_tally(500, agreed=agreed, **labelled(1, 1, 3))
    assert shadow(tally, LIMITS.shadow_deadline_s - 1) is None
    verdict = drawn(shadow(tally, LIMITS.shadow_deadline_s))
    assert (verdict.allowed, verdict.decided_by) == (agreed == 500, "agreement")


@pytest.mark.parametrize("choice", ["adopt", "reject"])
@pytest.mark.parametrize(
    ("tally", "so_far"),
    [
        (Tally(), "no input that both answered"),
        (a_tally(7), "candidate and live model agree on 100% of 7 live inputs"),
        (a_tally(7, **labelled(1, 0, 7)), "candidate 86%, live model 100% right on 7 labelled inputs"),
    ],
)
def test_not_enough_evidence_is_an_answer_of_its_own(tally: Tally, so_far: str, choice: Any) -> None:
    verdict = drawn(shadow(tally, LATE_S, without_evidence=choice))
    assert (verdict.allowed, verdict.decided_by) == (choice == "adopt", "deadline")
    assert verdict.reason == f"not enough evidence in 4000 s, {so_far}; the settings say to {choice}"


@pytest.mark.parametrize("tally", [a_tally(7, agreed=2), a_tally(3, agreed=0, shadow_errors=3)])
def test_a_candidate_that_is_hopeless_from_the_first_inputs_is_never_adopted_for_want_of_evidence(tally: Tally) -> None:
    assert not drawn(shadow(tally, LATE_S, without_evidence="adopt")).allowed


def test_a_verdict_says_how_strongly_the_counts_speak() -> None:
    verdict = drawn(shadow(a_tally(100, **labelled(25, 5, 100))))
    assert verdict.e_equal is not None
    assert verdict.e_worse is not None
    assert verdict.e_equal >= 1 / LIMITS.equal_refused_max > 1 > verdict.e_worse
    errors = drawn(shadow(a_tally(20, shadow_errors=4)))
    assert (errors.e_equal, errors.e_worse) == (None, None)


def test_who_wants_fewer_wrong_verdicts_waits_longer() -> None:
    tally = a_tally(120, **labelled(1, 1, 120))
    assert drawn(shadow(tally)).allowed
    assert shadow(tally, worse_adopted_max=0.001) is None
    tally = a_tally(30, **labelled(11, 1, 30))
    assert not drawn(shadow(tally)).allowed
    assert shadow(tally, equal_refused_max=0.001) is None


@pytest.mark.parametrize(
    ("tally", "elapsed_s", "allowed", "by", "words"),
    [
        (a_tally(100), 60.0, True, "agreement", "new model and previous one agree on 100% of 100 live inputs"),
        (a_tally(100, live_errors=3), 60.0, True, "agreement", "agree on 100%"),
        (a_tally(10, live_errors=4), 1.0, False, "errors", "4 of 10 inferences failed on probation"),
        (a_tally(100, agreed=20), 31.0, False, "agreement", "new model and previous one agree on 20%"),
        (a_tally(100, agreed=20, **labelled(70, 5, 100)), 60.0, True, "accuracy", "new model 95%, previous one 30%"),
        (a_tally(100, **labelled(5, 60, 100)), 1.0, False, "accuracy", "new model 40%, previous one 95% right"),
        (a_tally(100, live_slow=40), 1.0, False, "latency", "the new model was too slow on 40 of 100"),
        (a_tally(100, shadow_slow=100), 60.0, True, "agreement", "agree on 100%"),
        (a_tally(100, **less_sure(-5, 100)), 31.0, False, "confidence", "the new model is 0.50 less sure than the pre"),
        (a_tally(100, shadow_errors=100, agreed=0), 60.0, True, "inferences", "there is nothing to compare with"),
        (Tally(live_inferences=100), 60.0, True, "inferences", "100 inferences on probation, 0 failed"),
        (
            Tally(live_inferences=2),
            3_600.0,
            True,
            "deadline",
            "no input that both answered; the settings say to commit",
        ),
    ],
)
def test_a_new_model_is_committed_or_rolled_back_by_what_it_did(
    tally: Tally, elapsed_s: float, allowed: bool, by: str, words: str
) -> None:
    verdict = drawn(judge_probation(tally, elapsed_s, LIMITS))
    assert (verdict.allowed, verdict.decided_by) == (allowed, by)
    assert words in verdict.reason


@pytest.mark.parametrize(
    ("tally", "elapsed_s"),
    [
        (a_tally(1_000), 59.0),  # never before its time, however clear
        (a_tally(1_000, **labelled(0, 0, 1_000)), 59.0),
        (a_tally(9, live_inferences=1_000), 3_599.0),
        (Tally(live_inferences=99), 60.0),
        (Tally(), 3_599.0),
    ],
)
def test_probation_lasts_its_time_and_until_there_is_evidence(tally: Tally, elapsed_s: float) -> None:
    assert judge_probation(tally, elapsed_s, LIMITS) is None


@pytest.mark.parametrize(("choice", "allowed", "told"), [("commit", True, "commit"), ("roll_back", False, "roll back")])
def test_a_probation_without_evidence_ends_as_the_owner_says(choice: Any, allowed: bool, told: str) -> None:
    limits = replace(LIMITS, probation_without_evidence=choice)
    verdict = drawn(judge_probation(a_tally(9), LATE_S, limits))
    assert (verdict.allowed, verdict.decided_by) == (allowed, "deadline")
    assert verdict.reason.endswith(f"9 live inputs; the settings say to {told}")


def test_a_first_version_has_nobody_to_be_rolled_back_to() -> None:
    limits = replace(LIMITS, probation_without_evidence="roll_back")
    verdict = drawn(judge_probation(Tally(live_inferences=2), LATE_S, limits, beside=False))
    assert (verdict.allowed, verdict.decided_by) == (True, "inferences")


@pytest.mark.parametrize("elapsed_s", [SOON_S, LATE_S])
def test_what_went_live_for_being_right_more_often_may_disagree_on_probation(elapsed_s: float) -> None:
    verdict = judge_probation(a_tally(300, agreed=150), elapsed_s, LIMITS, by_labels=True)
    if elapsed_s == SOON_S:
        assert verdict is None
    else:
        assert (drawn(verdict).allowed, drawn(verdict).decided_by) == (True, "deadline")
    assert not drawn(judge_probation(a_tally(300, agreed=150), elapsed_s, LIMITS)).allowed


def test_shares_are_unknown_before_there_is_anything_to_share() -> None:
    assert (Tally().agreement, Tally().live_accuracy, Tally().shadow_accuracy) == (None, None, None)
    assert Tally(inputs=3, shadow_errors=3).agreement is None


def test_a_candidate_need_not_agree_with_a_model_that_is_lost() -> None:
    apart = a_tally(400, agreed=80, live_drifting=True, **less_sure(5, 400))
    assert shadow(apart) is None
    late = drawn(shadow(apart, LATE_S))
    assert (late.allowed, late.decided_by) == (True, "deadline")
    assert late.reason.startswith("the inputs have drifted away from what the live model knows")
    assert not drawn(shadow(apart, LATE_S, without_evidence="reject")).allowed
    assert not drawn(shadow(replace(apart, live_drifting=False))).allowed


def test_labels_failures_and_latency_still_speak_against_a_candidate_beside_a_model_that_is_lost() -> None:
    assert not drawn(shadow(a_tally(100, live_drifting=True, **labelled(25, 5, 100)))).allowed
    assert not drawn(shadow(a_tally(60, live_drifting=True, shadow_slow=60))).allowed
    assert not drawn(shadow(a_tally(20, live_drifting=True, shadow_errors=4))).allowed
    assert drawn(shadow(a_tally(40, live_drifting=True))).decided_by == "agreement", "and agreement for it"


def test_a_model_that_does_not_come_back_from_an_input_is_refused_and_rolled_back() -> None:
    stuck = drawn(shadow(a_tally(10, shadow_under_way_s=31.0), elapsed_s=SOON_S))
    assert (stuck.allowed, stuck.decided_by) == (False, "errors")
    assert stuck.reason == "the candidate hangs: it has been at one live input for 31 s"
    assert shadow(a_tally(10, shadow_under_way_s=29.0)) is None
    assert shadow(a_tally(10, live_under_way_s=100.0)) is None, "that is not the candidate's"
    back = drawn(judge_probation(a_tally(10, live_under_way_s=31.0), NOW_S, LIMITS))
    assert (back.allowed, back.reason) == (False, "the new model hangs: it has been at one live input for 31 s")
    assert judge_probation(a_tally(10, shadow_under_way_s=100.0), NOW_S, LIMITS) is None


def test_on_probation_a_lost_previous_model_speaks_for_the_new_one_but_not_against_it() -> None:
    apart, alike = a_tally(400, agreed=80), a_tally(400)
    assert not drawn(judge_probation(apart, SOON_S, LIMITS)).allowed
    assert judge_probation(apart, SOON_S, LIMITS, lost=True) is None
    assert drawn(judge_probation(apart, LATE_S, LIMITS, lost=True)).decided_by == "deadline"
    assert drawn(judge_probation(alike, SOON_S, LIMITS, lost=True)).decided_by == "agreement"
