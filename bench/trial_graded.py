"""Error rates of trials whose answers are right or alike in part, or rarely given.

    python -m bench.trial_graded [--trials N] [--seed N] [--json]

As `bench.trial`, for figures between 0 and 1 and for classes that are judged one by
one. Figures are drawn from beta distributions of a given mean: skewed, as real ones
are. Every input is judged, which a device does not.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Final

import numpy as np

from bench.trial import ELAPSED_S, LIMITS, SEED, Judge, Result, in_shadow, show
from device_client.core.trial.bins import ONE, bin_of, bins_of
from device_client.core.trial.hypotheses import ANSWER_EQUAL, ANSWER_WORSE
from device_client.core.trial.tally import AnswerCount, Tally
from device_client.core.trial.verdict import TrialVerdict, judge_probation

TRIALS: Final = 500
INPUTS_MAX: Final = 1_500  # per trial; beyond, it counts as undecided
SPREAD: Final = 6.0  # of a beta distribution: the sum of its parameters

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Drawn:
    """One input: how alike the answers are, how well each fits, the old one's class."""

    alike: float
    fits: tuple[float, float] | None = None  # of the old answer and the new one
    answer: int = 0
    constant_unlike: float = 1.0  # the old answer to that of another input


Draw = Callable[[Rng], Drawn]


@dataclass(frozen=True, slots=True)
class GradedScene:
    """A candidate as good as the live model, and one that is worse than allowed."""

    name: str
    equal: Draw
    worse: Draw


def beta(rng: Rng, mean: float) -> float:
    return float(rng.beta(mean * SPREAD, (1.0 - mean) * SPREAD))


def alike(mean: float) -> Draw:
    return lambda rng: Drawn(beta(rng, mean))


def fitting(mean: float, drop: float) -> Draw:
    """The two answers fit independently, the new one by `drop` less."""
    return lambda rng: Drawn(0.9, fits=(beta(rng, mean), beta(rng, mean - drop)))


def classes(shares: tuple[float, ...], agreement: tuple[float, ...]) -> Draw:
    """The old model's classes, and the share of each that the new one gives too."""

    def draw(rng: Rng) -> Drawn:
        at, other = (int(each) for each in rng.choice(len(shares), 2, p=shares))
        return Drawn(float(rng.random() < agreement[at]), answer=at, constant_unlike=float(at != other))

    return draw


GOOD, WORST = LIMITS.agreement_good, LIMITS.agreement_min
TEN: Final = (0.1,) * 10
RARE: Final = (0.95, 0.05)
SCENES: Final = (
    GradedScene("no labels: 95 % alike, or 80 %", alike(GOOD), alike(WORST)),
    GradedScene("labels: 75 % fit, or 70 %", fitting(0.75, 0.0), fitting(0.75, LIMITS.accuracy_drop_max)),
    GradedScene("ten classes, or one of them lost", classes(TEN, (GOOD,) * 10), classes(TEN, (*(1.0,) * 9, 0.0))),
    GradedScene("one input in 20, or that lost", classes(RARE, (1.0, 0.9)), classes(RARE, (1.0, 0.0))),
)


AT_THE_BOUNDS: Final = GradedScene(
    "one class at its bounds",
    classes(RARE, (1.0, ANSWER_EQUAL * WORST)),
    classes(RARE, (1.0, ANSWER_WORSE * WORST)),
)


def run(judge: Judge, draw: Draw, *, trials: int, seed: int, inputs_max: int = INPUTS_MAX) -> Result:
    """Run the trials input by input until each has its verdict."""
    endings = [_ended(judge, draw, np.random.default_rng((seed, at)), inputs_max) for at in range(trials)]
    lengths = [length for verdict, length in endings if verdict]
    return Result(
        adopted=sum(bool(verdict and verdict.allowed) for verdict, _ in endings) / trials,
        refused=sum(bool(verdict and not verdict.allowed) for verdict, _ in endings) / trials,
        undecided=sum(verdict is None for verdict, _ in endings) / trials,
        median_inputs=float(median(lengths)) if lengths else 0.0,
        trials=trials,
    )


def _ended(judge: Judge, draw: Draw, rng: Rng, inputs_max: int) -> tuple[TrialVerdict | None, int]:
    for length, tally in enumerate(itertools.islice(_tallies(draw, rng), inputs_max), start=1):
        verdict = judge(tally)
        if verdict:
            return verdict, length
    return None, inputs_max


def _tallies(draw: Draw, rng: Rng) -> Iterator[Tally]:
    """The counts after each input."""
    likeness, drops, contrasts = Counter[int](), Counter[int](), Counter[int]()
    answers: dict[int, Counter[int]] = {}
    fits = np.zeros(2)
    for inputs in itertools.count(1):
        one = draw(rng)
        likeness[bin_of(one.alike)] += 1
        answers.setdefault(one.answer, Counter())[bin_of(one.alike)] += 1
        contrasts[bin_of(1.0 - one.alike - one.constant_unlike / 2)] += 1
        if one.fits:
            drops[bin_of(one.fits[0] - one.fits[1])] += 1
            fits += one.fits
        yield Tally(
            inputs=inputs,
            agreed=likeness[ONE],
            partly=bins_of({at: count for at, count in likeness.items() if 0 < at < ONE}),
            labelled=inputs if one.fits else 0,
            drops=bins_of(drops),
            partly_live=float(fits[0]),
            partly_shadow=float(fits[1]),
            live_answers=tuple(AnswerCount(f"class {at}", bins_of(answers[at])) for at in sorted(answers)),
            contrasts=bins_of(contrasts),
            live_inferences=inputs,
        )


def on_probation(tally: Tally) -> TrialVerdict | None:
    """The verdict after the swap: the two models in each other's place."""
    turned = replace(tally.of_new_live().tally, shadow_answers=tally.live_answers, live_answers=())
    return judge_probation(turned, ELAPSED_S, LIMITS)


JUDGES: Final[dict[str, Judge]] = {"shadow": in_shadow, "probation": on_probation}


@dataclass(frozen=True, slots=True)
class GradedRow:
    scene: str
    judge: str
    equal: Result
    worse: Result

    def cells(self) -> list[str]:
        """The cells of one row of the table in the documentation of trials."""
        equal, worse = self.equal, self.worse
        rates = f"{equal.refused:.1%}", f"{worse.adopted:.1%}", f"{equal.undecided:.1%}, {worse.undecided:.1%}"
        refused, adopted, undecided = (rate.replace("%", " %") for rate in rates)
        medians = f"{equal.median_inputs:.0f}", f"{worse.median_inputs:.0f}"
        return [self.scene, self.judge, refused, adopted, *medians, undecided]


def judged(scene: GradedScene, judge: str, *, trials: int = TRIALS, seed: int = SEED) -> GradedRow:
    """Run both candidates of a scene under one verdict function."""
    seeds = np.random.SeedSequence((seed, *f"{scene.name} {judge}".encode())).generate_state(2)
    equal, worse = (
        run(JUDGES[judge], draw, trials=trials, seed=int(own))
        for draw, own in zip((scene.equal, scene.worse), seeds, strict=True)
    )
    return GradedRow(scene.name, judge, equal, worse)


def main() -> None:
    """Simulate and print the table."""
    parser = argparse.ArgumentParser(description="Error rates where answers are alike in part, or rarely given.")
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    for scene, judge in itertools.product(SCENES, JUDGES):
        row = judged(scene, judge, trials=arguments.trials, seed=arguments.seed)
        show(json.dumps(asdict(row)) if arguments.json else f"| {' | '.join(row.cells())} |")


if __name__ == "__main__":
    main()
