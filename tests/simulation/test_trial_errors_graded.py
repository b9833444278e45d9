"""Error rates where answers are alike or right in part, or rarely given."""

from __future__ import annotations

import pytest

from bench.trial import LIMITS, SEED
from bench.trial_graded import AT_THE_BOUNDS, JUDGES, SCENES, TRIALS, GradedScene, judged
from tests.pages import page

ALIKE, FITTING, LOST, RARE = SCENES


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("scene", [ALIKE, LOST], ids=lambda scene: scene.name)
def test_a_graded_equal_is_seldom_refused_and_a_worse_one_seldom_adopted(scene: GradedScene, judge: str) -> None:
    row = judged(scene, judge, trials=25, seed=SEED)
    assert row.equal.refused <= LIMITS.equal_refused_max
    assert row.worse.adopted <= LIMITS.worse_adopted_max
    assert min(row.equal.adopted, row.worse.refused) >= 0.9, "a verdict comes, and is right"


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_the_rates_hold_in_every_scene_and_are_those_of_the_page(scene: GradedScene, judge: str) -> None:
    row = judged(scene, judge, trials=TRIALS, seed=SEED)
    assert row.equal.refused <= LIMITS.equal_refused_max
    assert row.worse.adopted <= LIMITS.worse_adopted_max
    assert row.cells() in page("docs/TRIAL.md").table("answers", "judge")


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("judge", JUDGES)
def test_the_rates_hold_for_a_class_at_the_very_bounds(judge: str) -> None:
    row = judged(AT_THE_BOUNDS, judge, trials=200, seed=SEED)
    assert row.equal.refused <= LIMITS.equal_refused_max
    assert row.worse.adopted <= LIMITS.worse_adopted_max
