"""The error rates of shadow and probation, by simulation of the judges themselves."""

from __future__ import annotations

import os

import pytest

from bench.trial import JUDGES, LIMITS, SCENES, SEED, TRIALS, Scene, judged
from tests.pages import page

QUICK = tuple(scene for scene in SCENES if scene.name in {"labels, 4 % discordant", "no labels: 95 % agree, or 80 %"})
WIDE = tuple(scene for scene in SCENES if scene not in QUICK)
LONG = (pytest.mark.slow, pytest.mark.timeout(1_800))  # half a million judgements each, on whatever machine
CHOSEN = int(os.environ.get("SIMULATION_SEED", SEED))


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize(
    "scene",
    [
        *(pytest.param(scene, id=scene.name) for scene in QUICK),
        *(pytest.param(scene, id=scene.name, marks=LONG) for scene in WIDE),
    ],
)
def test_an_equal_one_is_seldom_refused_and_a_worse_one_seldom_adopted(scene: Scene, judge: str) -> None:
    row = judged(scene, judge, trials=TRIALS, seed=CHOSEN)
    print(f"seed {CHOSEN}: {row.line()}")  # noqa: T201 - pytest shows it with -s, or when it fails
    assert row.equal.trials == row.worse.trials >= 2_000
    assert row.equal.refused <= LIMITS.equal_refused_max
    assert row.worse.adopted <= LIMITS.worse_adopted_max
    assert min(row.equal.adopted, row.worse.refused) >= 0.9, "a verdict comes, and is right"
    assert row.equal.median_inputs < row.fixed_inputs, "and comes early"
    if CHOSEN == SEED:
        assert row.cells() in page("docs/TRIAL.md").table("inputs", "judge")


def test_the_page_tells_of_every_scene() -> None:
    told = [(scene, judge, fixed) for scene, judge, *_, fixed, _ in page("docs/TRIAL.md").table("inputs", "judge")]
    assert told == [(scene.name, judge, str(scene.fixed)) for scene in SCENES for judge in JUDGES]
