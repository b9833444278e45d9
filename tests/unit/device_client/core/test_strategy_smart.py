"""The smart strategy: the worse the live model, the sooner the check."""

from __future__ import annotations

from typing import Any

import pytest

from device_client.core import effects as do
from device_client.core.conditions.model_quality import Quality
from device_client.core.policy import Smart
from device_client.core.state import Phase
from device_client.core.strategy.quality_score import DRIFT_CALM, NO_EVIDENCE, interval_s, score
from device_client.feedback.drift_detector import CALM
from tests.builders import a_device, a_plan, a_policy
from tests.life import Life, only

SMART = Smart(interval_min_s=900.0, interval_max_s=86_400.0)
BUSY: dict[str, Any] = {"cpu_percent": 95.0}
GOOD = Quality(drift=0.0, confidence=0.98, inferences=500)
BAD = Quality(drift=0.8, confidence=0.5, inferences=500)


def a_life(strategy: Smart = SMART) -> Life:
    """A device that runs 1.0.0 and has been asked to run 2.0.0."""
    life = Life(a_device(Phase.COMMITTED, live="1.0.0", plan=a_plan("1.0.0")), a_policy(strategy=strategy))
    life.plans("2.0.0")
    return life


def wait_s(life: Life) -> float:
    """How long until the next check that the status tells."""
    due_s = life.state.moment.next_check_s
    assert due_s is not None
    return due_s - life.now_s


# the score


@pytest.mark.parametrize(
    ("quality", "expected", "value", "told"),
    [
        (Quality(accuracy=0.95, inferences=99), None, 1.0, "score 1.00 (accuracy 0.95)"),
        (Quality(accuracy=0.85, inferences=99), None, 0.5, "score 0.50 (accuracy 0.85)"),
        (Quality(accuracy=0.68, inferences=99), 0.80, 0.5, "score 0.50 (accuracy 0.68 where 0.80 is expected)"),
        (Quality(accuracy=0.90, inferences=99), 0.80, 1.0, "score 1.00 (accuracy 0.90 where 0.80 is expected)"),
        (Quality(accuracy=0.1, drift=0.0, confidence=1.0, inferences=99), None, 0.0, "score 0.00 (accuracy 0.10)"),
        (Quality(drift=0.6, agreement=0.9, confidence=0.9, inferences=99), None, 0.5,
         "score 0.50 (drift 0.60, agreement 0.90, confidence 0.90)"),
        (Quality(drift=0.575, inferences=99), None, 0.5, "score 0.50 (drift 0.57)"),
        (Quality(confidence=0.99, inferences=99), None, 1.0, "score 1.00 (confidence 0.99)"),
        (Quality(drift=1.0, agreement=0.0, confidence=0.0, inferences=99), None, 0.0,
         "score 0.00 (drift 1.00, agreement 0.00, confidence 0.00)"),
    ],
)  # fmt: skip
def test_labels_decide_where_they_come_else_what_is_known(
    quality: Quality, expected: float | None, value: float, told: str
) -> None:
    scored = score(SMART, quality, expected)
    assert scored.value == pytest.approx(value)
    assert scored.figures == told


@pytest.mark.parametrize("drift", [0.0, 0.35, DRIFT_CALM])
def test_drift_that_chance_alone_can_bring_about_is_no_reason_to_hurry(drift: float) -> None:
    """Held-out digits brought a detector to 0.35 within 20,000 of them."""
    assert DRIFT_CALM == CALM
    scored = score(SMART, Quality(drift=drift, confidence=0.94, inferences=99))
    assert scored.value == 1.0
    assert f"drift {drift:.2f}" in scored.figures, "what was measured is told as it was"
    beyond = score(SMART, Quality(drift=DRIFT_CALM + 0.05, confidence=0.94, inferences=99))
    assert beyond.value < 1.0


@pytest.mark.parametrize("confidence", [0.3, 0.78, 0.84])
def test_a_hard_task_is_no_trouble_while_it_is_learnt_what_is_usual(confidence: float) -> None:
    scored = score(SMART, Quality(confidence=confidence, inferences=99))
    assert scored.value == NO_EVIDENCE
    assert scored.figures == f"score 0.50, for confidence {confidence:.2f} alone tells no trouble"
    assert score(SMART, Quality(confidence=0.94, inferences=99)).value > NO_EVIDENCE


@pytest.mark.parametrize("quality", [None, Quality(), Quality(drift=1.0, inferences=29), Quality(inferences=99)])
def test_without_evidence_it_neither_hurries_nor_rests(quality: Quality | None) -> None:
    scored = score(SMART, quality)
    assert scored.value == NO_EVIDENCE
    assert "nothing" in scored.figures


@pytest.mark.parametrize(("value", "seconds"), [(0.0, 900), (0.5, 8_818), (1.0, 86_400)])
def test_the_interval_lies_between_floor_and_ceiling_by_ratio(value: float, seconds: float) -> None:
    assert interval_s(SMART, value) == pytest.approx(seconds, abs=1)


# its effect


def test_a_stream_that_worsens_shrinks_the_interval_to_the_floor_and_a_comfort_deferral_is_taken() -> None:
    life = a_life()
    life.reads(quality=GOOD, **BUSY)
    assert life.phase is Phase.DEFERRED
    assert wait_s(life) == pytest.approx(86_400)
    assert "24.0 h: score 1.00 (drift 0.00" in life.device.reason
    waits = [wait_s(life)]
    for drift in (0.53, 0.55, 0.575, 0.59):  # nothing is due; a glance sees it
        assert only(do.TakeReadings, life.waits())
        life.reads(quality=Quality(drift=drift, inferences=500), **BUSY)
        waits.append(wait_s(life))
    assert waits == sorted(waits, reverse=True)
    assert len(set(waits)) == 5
    assert until_taken(life).state.moment.history.interval_s == pytest.approx(900.0)


def until_taken(life: Life) -> Life:
    """Wait on with a model that does badly and a processor that stays busy."""
    for _ in range(100):
        life.waits()
        life.reads(quality=BAD, **BUSY)
        if life.phase is Phase.FETCHING:
            return life
    raise AssertionError(life.device.reason)


def test_what_is_taken_for_a_bad_model_says_why_and_takes_no_longer_than_the_floor() -> None:
    life = a_life()
    life.reads(quality=BAD, **BUSY)
    assert life.phase is Phase.FETCHING, "the first look is at once"
    assert life.device.reason.endswith("; comfort is waived: score 0.00 (drift 0.80, confidence 0.50)")
    life = a_life()
    life.reads(quality=GOOD, **BUSY)
    began_s = life.now_s
    assert until_taken(life).now_s - began_s <= 900.0


def test_safety_is_never_waived_however_bad_the_model() -> None:
    life = a_life()
    dangers: list[dict[str, Any]] = [{"battery_percent": 5.0}, {"throttled": True}, {"under_voltage": True}]
    for danger in (*dangers, {"held": "demo"}):
        life.waits()
        life.reads(quality=BAD, **BUSY, **danger)
        assert life.phase is Phase.DEFERRED, danger
    assert "15 min: score 0.00 (drift 0.80, confidence 0.50)" in life.device.reason


def test_on_a_steady_stream_the_interval_grows_back_twofold_from_look_to_look() -> None:
    life = a_life()
    life.reads(quality=BAD, battery_percent=5.0)
    intervals: list[float | None] = []
    looks = 0
    while len(intervals) < 8 and looks < 10_000:
        looks += 1
        life.waits()
        before_s = life.state.moment.history.checked_at_s
        life.reads(quality=GOOD, battery_percent=5.0)
        if life.state.moment.history.checked_at_s != before_s:
            intervals.append(life.state.moment.history.interval_s)
    assert intervals == pytest.approx([1_800, 3_600, 7_200, 14_400, 28_800, 57_600, 86_400, 86_400])


def test_one_good_glance_does_not_lengthen_what_a_bad_one_has_shortened() -> None:
    life = a_life()
    life.reads(quality=BAD, battery_percent=5.0)
    life.waits()
    life.reads(quality=GOOD, battery_percent=5.0)
    assert life.state.moment.history.interval_s == pytest.approx(900.0)


def test_an_urgent_plan_waits_for_no_interval() -> None:
    life = a_life()
    life.reads(quality=GOOD, **BUSY)
    life.plans("2.0.0", urgency="urgent")
    life.reads(quality=GOOD, **BUSY)
    assert life.phase is Phase.FETCHING


def test_the_publishers_own_measure_is_what_accuracy_is_held_against() -> None:
    life = a_life()  # the variant was measured at 0.95
    life.reads(quality=Quality(accuracy=0.95 * 0.85, inferences=99), **BUSY)
    assert "score 0.50 (accuracy 0.81" in life.device.reason
