"""Inputs that a trial needs for its verdict and its error rates, beside a test of fixed
size.

    python -m bench.trial [--trials N] [--seed N] [--json]

The verdict functions are the device's, with its default settings, evaluated after every
single input: more often than on a device, the hardest case for the error rates. The
outcomes of the two models on each input are random. Equal counts are evaluated once, so
that thousands of trials take a minute or two.

The fixed size is that of a one-sided test of a paired difference of proportions with
the same error rates and margin, in the normal approximation: Connor, Biometrics 43
(1987), with the margin in place of the difference as for tests of non-inferiority.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from math import ceil, sqrt
from statistics import NormalDist, median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from device_client.core.policy import TrialLimits
from device_client.core.trial.tally import DROP_BINS, Tally
from device_client.core.trial.verdict import TrialVerdict, judge_probation, judge_shadow

TRIALS: Final = 2_000
SEED: Final = 20_261_122
INPUTS_MAX: Final = 2_000  # per trial; beyond, it counts as undecided
LIMITS: Final = TrialLimits()
ELAPSED_S: Final = max(LIMITS.labels_wait_s, LIMITS.probation_min_s)
BLOCK: Final = 50  # inputs drawn at a time, of the trials that are still open

Judge = Callable[[Tally], TrialVerdict | None]


@dataclass(frozen=True, slots=True)
class Pairing:
    """How often a new model and the old one differ. With labels: the shares on which
    only one is right; without: `differ` alone.
    """

    name: str
    only_old_right: float = 0.0
    only_new_right: float = 0.0
    differ: float = 0.0

    @property
    def labelled(self) -> bool:
        """Whether true labels arrive."""
        return not self.differ

    @property
    def discordant(self) -> float:
        """Share of inputs on which exactly one is right, or on which they differ."""
        return self.differ or self.only_old_right + self.only_new_right


@dataclass(frozen=True, slots=True)
class Scene:
    """A candidate as good as the live model, one that is five points worse, and the
    size of a fixed test that tells them apart.
    """

    name: str
    equal: Pairing
    worse: Pairing
    fixed: int


@dataclass(frozen=True, slots=True)
class Result:
    """Rates over many trials. `median_inputs`: to a verdict, if one was reached."""

    adopted: float
    refused: float
    undecided: float
    median_inputs: float
    trials: int


def _z(rate: float) -> float:
    return NormalDist().inv_cdf(1 - rate)


def a_labelled(name: str, discordant: float) -> Scene:
    """A scene in which the live model is right on 95 %. `discordant` is the share of
    inputs on which exactly one of the equal pair is right; the worse candidate is wrong
    on five points more.
    """
    side = discordant / 2
    equal = Pairing("as good", only_old_right=side, only_new_right=side)
    worse = Pairing("5 points worse", only_old_right=side + 0.05, only_new_right=side)
    return Scene(name, equal, worse, fixed_paired(equal, worse, 0.05))


def an_unlabelled(name: str, good: float, bad: float) -> Scene:
    """A scene without labels: the shares of agreement of the two candidates."""
    equal, worse = Pairing("alike", differ=1 - good), Pairing("unlike", differ=1 - bad)
    return Scene(name, equal, worse, fixed_share(1 - good, 1 - bad))


def fixed_paired(equal: Pairing, worse: Pairing, margin: float) -> int:
    """Labelled inputs that a test of fixed size needs to tell the two apart."""
    spread = sqrt(equal.discordant), sqrt(worse.discordant - margin * margin)
    return ceil(((_z(LIMITS.equal_refused_max) * spread[0] + _z(LIMITS.worse_adopted_max) * spread[1]) / margin) ** 2)


def fixed_share(good: float, bad: float) -> int:
    """Unlabelled inputs that a test of fixed size needs to tell two shares apart."""
    spread = sqrt(good * (1 - good)), sqrt(bad * (1 - bad))
    z = _z(LIMITS.equal_refused_max), _z(LIMITS.worse_adopted_max)
    return ceil(((z[0] * spread[0] + z[1] * spread[1]) / (bad - good)) ** 2)


SCENES: Final = (
    a_labelled("labels, 1 % discordant", 0.01),
    a_labelled("labels, 2 % discordant", 0.02),
    a_labelled("labels, 4 % discordant", 0.04),
    a_labelled("labels, 9.5 %: errors independent", 2 * 0.95 * 0.05),
    a_labelled("labels, 20 % discordant", 0.20),
    an_unlabelled("no labels: 95 % agree, or 80 %", LIMITS.agreement_good, LIMITS.agreement_min),
)


def in_shadow(tally: Tally) -> TrialVerdict | None:
    """The verdict before the swap: the new model is the shadow."""
    return judge_shadow(tally, ELAPSED_S, LIMITS)


def on_probation(tally: Tally) -> TrialVerdict | None:
    """The verdict after the swap: the new model is live."""
    mirrored = replace(tally, only_live_correct=tally.only_shadow_correct, only_shadow_correct=tally.only_live_correct)
    return judge_probation(mirrored, ELAPSED_S, LIMITS)


JUDGES: Final[dict[str, Judge]] = {"shadow": in_shadow, "probation": on_probation}


def run(judge: Judge, pairing: Pairing, *, trials: int, seed: int, inputs_max: int = INPUTS_MAX) -> Result:
    """Run the trials input by input until each has its verdict."""
    rng = np.random.default_rng(seed)
    open_ = np.arange(trials)
    counts = np.zeros((trials, 2), dtype=np.int64)  # only old right (or differed), only new right
    allowed, length = np.zeros(trials, dtype=bool), np.zeros(trials, dtype=np.int64)
    for begun in range(0, inputs_max, BLOCK):
        drawn = rng.random((len(open_), BLOCK))
        first = pairing.only_old_right + pairing.differ
        against = np.cumsum(drawn < first, axis=1) + counts[open_, :1]
        for_it = np.cumsum((drawn >= first) & (drawn < first + pairing.only_new_right), axis=1) + counts[open_, 1:]
        verdicts = _judged(judge, pairing, begun, against, for_it)
        decided = verdicts.any(axis=1)
        at = verdicts.argmax(axis=1)
        which = open_[decided]
        allowed[which] = verdicts[decided, at[decided]] == _ADOPTED
        length[which] = begun + at[decided] + 1
        counts[open_] = np.stack((against[:, -1], for_it[:, -1]), axis=1)
        open_ = open_[~decided]
        if not len(open_):
            break
    decided = length > 0
    return Result(
        adopted=float(np.mean(decided & allowed)),
        refused=float(np.mean(decided & ~allowed)),
        undecided=float(np.mean(~decided)),
        median_inputs=float(median(length[decided].tolist())) if decided.any() else 0.0,
        trials=trials,
    )


_ADOPTED: Final = 1
_REFUSED: Final = 2


def _judged(
    judge: Judge, pairing: Pairing, begun: int, against: NDArray[np.int64], for_it: NDArray[np.int64]
) -> NDArray[np.int8]:
    """The verdict after each input: 0 none yet. Equal counts are evaluated once."""
    seen = np.broadcast_to(np.arange(begun + 1, begun + against.shape[1] + 1), against.shape)
    keys = (seen * 10_000 + against) * 10_000 + for_it
    once, where = np.unique(keys, return_inverse=True)
    found = [_code(judge(_tally(pairing, int(key)))) for key in once]
    return np.array(found, dtype=np.int8)[where].reshape(against.shape)


def _tally(pairing: Pairing, key: int) -> Tally:
    inputs, against, for_it = key // 100_000_000, key // 10_000 % 10_000, key % 10_000
    if not pairing.labelled:
        sure = (0,) * (DROP_BINS // 2)
        confidences = (*sure, inputs, *sure)
        return Tally(inputs=inputs, agreed=inputs - against, confidence_drops=confidences, live_inferences=inputs)
    return Tally(
        inputs=inputs,
        agreed=inputs - against - for_it,
        labelled=inputs,
        only_live_correct=against,
        only_shadow_correct=for_it,
        both_correct=inputs - against - for_it,
        live_inferences=inputs,
    )


def _code(verdict: TrialVerdict | None) -> int:
    if verdict is None:
        return 0
    return _ADOPTED if verdict.allowed else _REFUSED


@dataclass(frozen=True, slots=True)
class Row:
    """The results of one scene under one verdict function."""

    scene: str
    judge: str
    equal: Result
    worse: Result
    fixed_inputs: int

    def line(self) -> str:
        """One line of the printed table."""
        equal, worse = self.equal, self.worse
        return (
            f"{self.scene:<33} {self.judge:<9} equal refused {equal.refused:5.1%}  worse adopted {worse.adopted:5.1%}  "
            f"median inputs {equal.median_inputs:3.0f} equal, {worse.median_inputs:3.0f} worse  "
            f"fixed size {self.fixed_inputs:3d}  undecided {equal.undecided:.1%}, {worse.undecided:.1%}"
        )

    def cells(self) -> list[str]:
        """The cells of one row of the table in the documentation of trials."""
        equal, worse = self.equal, self.worse
        rates = f"{equal.refused:.1%}", f"{worse.adopted:.1%}", f"{equal.undecided:.1%}, {worse.undecided:.1%}"
        refused, adopted, undecided = (rate.replace("%", " %") for rate in rates)
        medians = f"{equal.median_inputs:.0f}", f"{worse.median_inputs:.0f}"
        return [self.scene, self.judge, refused, adopted, *medians, str(self.fixed_inputs), undecided]


def judged(scene: Scene, judge: str, *, trials: int = TRIALS, seed: int = SEED) -> Row:
    """Run both candidates of a scene under one verdict function."""
    seeds = np.random.SeedSequence((seed, *f"{scene.name} {judge}".encode())).generate_state(2)
    equal, worse = (
        run(JUDGES[judge], pairing, trials=trials, seed=int(own))
        for pairing, own in zip((scene.equal, scene.worse), seeds, strict=True)
    )
    return Row(scene.name, judge, equal, worse, scene.fixed)


def main() -> None:
    """Simulate and print the table."""
    parser = argparse.ArgumentParser(description="How many inputs a trial takes, and how often it is wrong.")
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not arguments.json:
        show(f"{arguments.trials} trials each, seed {arguments.seed}, undecided after {INPUTS_MAX} inputs")
    for scene, judge in itertools.product(SCENES, JUDGES):
        row = judged(scene, judge, trials=arguments.trials, seed=arguments.seed)
        show(json.dumps(asdict(row) | {"seed": arguments.seed}) if arguments.json else row.line())


def show(text: str) -> None:
    """Print at once: the next row takes a while."""
    print(text, flush=True)  # noqa: T201 - the result


if __name__ == "__main__":
    main()
