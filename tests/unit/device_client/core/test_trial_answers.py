"""Likeness is judged for each answer, by degrees, and not where nothing varies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from device_client.core.policy import TrialLimits
from device_client.core.trial.bins import ONE, Bins, bin_of, bins_of
from device_client.core.trial.tally import AnswerCount, Tally
from device_client.core.trial.verdict import TrialVerdict, judge_probation, judge_shadow
from tests.builders import a_tally

LIMITS = TrialLimits()
SOON_S, LATE_S = 100.0, 4_000.0
VARIED: Bins = ((bin_of(-0.5), 60),)  # the same answer, and another one than to the input before
STILL: Bins = ((0, 60),)  # the same answer to every input


def answered(name: str, same: int, other: int = 0, **more: Any) -> AnswerCount:
    return AnswerCount(name, bins_of({ONE: same, 0: other}), **more)


def shadow(tally: Tally, elapsed_s: float = SOON_S) -> TrialVerdict | None:
    return judge_shadow(tally, elapsed_s, LIMITS)


def drawn(verdict: TrialVerdict | None) -> TrialVerdict:
    assert verdict is not None
    return verdict


def test_a_candidate_that_lost_a_rare_answer_is_refused_however_well_it_agrees() -> None:
    lost = a_tally(400, agreed=385, live_answers=(answered("no", 385), answered("yes", 0, 15)), contrasts=VARIED)
    verdict = drawn(shadow(lost))
    assert (verdict.allowed, verdict.decided_by) == (False, "each_answer")
    assert verdict.reason == "candidate and live model agree on 0% of 15 inputs that the live model answers with yes"


@pytest.mark.parametrize("seen", [0, 1, 3])
def test_a_known_answer_that_hardly_came_leaves_the_evidence_wanting(seen: int) -> None:
    tally = a_tally(400, live_answers=(answered("no", 400), answered("yes", seen, known=True)), contrasts=VARIED)
    assert shadow(tally) is None
    verdict = drawn(shadow(tally, LATE_S))
    assert verdict.decided_by == "deadline"
    assert "answers with yes" in verdict.reason
    shown = replace(tally, live_answers=(answered("no", 400), answered("yes", 4, known=True)))
    assert drawn(shadow(shown)).allowed, "four sealed inputs will do"


def test_where_the_live_model_always_answers_the_same_agreement_says_nothing() -> None:
    still = a_tally(400, live_answers=(answered("no", 400),), contrasts=STILL)
    assert shadow(still) is None
    verdict = drawn(shadow(still, LATE_S))
    assert (verdict.allowed, verdict.decided_by) == (True, "deadline")
    assert "differ too little" in verdict.reason
    assert drawn(shadow(replace(still, contrasts=VARIED))).decided_by == "agreement"


def test_what_was_shown_before_the_swap_need_not_be_shown_again() -> None:
    still = a_tally(400, shadow_answers=(answered("no", 400),), contrasts=STILL)
    assert judge_probation(still, SOON_S, LIMITS) is None
    assert drawn(judge_probation(still, SOON_S, LIMITS, shown=True)).allowed
    lost = replace(still, shadow_answers=(answered("no", 385), answered("yes", 0, 15)))
    assert not drawn(judge_probation(lost, SOON_S, LIMITS, shown=True)).allowed


@pytest.mark.parametrize(("alike", "allowed"), [(0.97, True), (0.5, False), (0.0, False)])
def test_answers_that_are_alike_in_part_count_in_part(alike: float, allowed: bool) -> None:
    tally = a_tally(100, agreed=0, partly=((bin_of(alike), 100),) if alike else ())
    verdict = drawn(shadow(tally))
    assert (verdict.allowed, verdict.decided_by) == (allowed, "agreement")
    assert tally.agreement == pytest.approx(alike, abs=0.01)


@pytest.mark.parametrize(("drop", "allowed"), [(0.0, True), (0.3, False)])
def test_answers_that_fit_in_part_are_compared_by_how_much_better_they_fit(drop: float, allowed: bool) -> None:
    fitting: dict[str, Any] = {"labelled": 120, "drops": ((bin_of(drop), 120),)}
    tally = a_tally(120, **fitting, partly_live=120 * 0.8, partly_shadow=120 * (0.8 - drop))
    verdict = drawn(shadow(tally))
    assert (verdict.allowed, verdict.decided_by) == (allowed, "accuracy")
    assert tally.live_accuracy == pytest.approx(0.8)
    turned = tally.of_new_live().tally
    assert (turned.shadow_accuracy, turned.drops) == (tally.live_accuracy, ((-bin_of(drop), 120),))


def test_labels_may_show_that_an_answer_is_rightly_given_no_more() -> None:
    wrong_before = bins_of({-ONE: 40})
    better = a_tally(
        400,
        agreed=360,
        **{"labelled": 400, "both_correct": 360, "only_shadow_correct": 40},
        live_answers=(answered("no", 360), answered("yes", 0, 40, drops=wrong_before)),
    )
    assert (drawn(shadow(better)).allowed, drawn(shadow(better)).decided_by) == (True, "accuracy")
    worse = replace(
        better,
        labelled=2_000,
        both_correct=1_920,
        only_shadow_correct=40,
        only_live_correct=40,
        inputs=2_000,
        agreed=1_920,
        live_answers=(answered("no", 1_920, 40), answered("yes", 0, 40, drops=bins_of({ONE: 40}))),
    )
    verdict = drawn(shadow(worse))
    assert (verdict.allowed, verdict.decided_by) == (False, "each_answer"), "accuracy hides it"


@pytest.mark.parametrize("seen", [0, 3])
def test_labels_do_not_replace_an_answer_that_is_known_and_hardly_came(seen: int) -> None:
    """A right answer to other inputs does not show that a rare one is still given."""
    right = {"labelled": 400, "both_correct": 400}
    tally = a_tally(400, **right, live_answers=(answered("no", 400), answered("yes", seen, known=True)))
    assert shadow(tally) is None
    assert drawn(shadow(tally, LATE_S)).decided_by == "deadline"
    shown = replace(tally, live_answers=(answered("no", 400), answered("yes", 8, known=True)))
    assert (drawn(shadow(shown)).allowed, drawn(shadow(shown)).decided_by) == (True, "accuracy")


def test_a_lost_live_model_does_not_speak_against_an_answer() -> None:
    lost = a_tally(400, agreed=385, live_answers=(answered("no", 385), answered("yes", 0, 15)), live_drifting=True)
    assert shadow(lost) is None
