"""Which damages of a model a trial finds, for every task, and after how many inputs.

    python -m bench.damages [--trials N] [--seed N] [--task NAME] [--markdown]

Each network of `bench.damaged_tasks` is the live model. Copies of it are damaged, in
their weights or in what they answer, and run with the device's runtime on digits that
the training never saw. Their answers go through the device's own comparison and verdict
functions, in many orders, with and without labels. Over all these digits a copy is
"worse" or "as good" as the trial's hypotheses say, or between the two.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from bench.damaged_tasks import TASKS, Array, Rng, TrainedTask, trained
from bench.trial import ELAPSED_S, LIMITS, show
from device_client.adapters.runtime.tflite import open_model
from device_client.core.trial.bins import mean
from device_client.core.trial.hypotheses import (
    ANSWER_DROP_EQUAL,
    ANSWER_DROP_WORSE,
    ANSWER_EQUAL,
    ANSWER_SEEN_MIN,
    ANSWER_WORSE,
)
from device_client.core.trial.tally import DROP_BINS, Tally
from device_client.core.trial.verdict import judge_shadow
from device_client.serving.live_serving import SAMPLE_EVERY
from device_client.serving.trial.answer_comparison import AnswerComparison, ComparedAnswers
from device_client.serving.trial.labelled_pairs import FittedPair

TRIALS: Final = 10
SEED: Final = 20_261_127
INPUTS_MAX: Final = 1_000  # of a trial
HISTORY: Final = 8_000  # inputs that the live model has answered before
JUDGED_EVERY: Final = 5  # inputs

Answers = list[tuple[Array, ...]]
Fits = list[tuple[float, float]]  # of the live answer, and of the copy's


def constant(of: TrainedTask, answers: Answers, _rng: Rng) -> Answers:
    """The most usual answer, whatever the input."""
    groups = [of.task.groups(each) for each in answers]
    usual = max(groups, key=groups.count)
    return [answers[groups.index(usual)]] * len(answers)


def late(_of: TrainedTask, answers: Answers, _rng: Rng) -> Answers:
    """The answer to the input before."""
    return [answers[-1], *answers[:-1]]


def one_value_destroyed(_of: TrainedTask, answers: Answers, _rng: Rng) -> Answers:
    """Where the last dimension is a choice, one that is chosen often."""
    stacked = np.stack([each[0] for each in answers])
    at = int(np.bincount(stacked.reshape(-1, stacked.shape[-1]).argmax(axis=1)).argmax())
    means = stacked.reshape(-1, stacked.shape[-1]).mean(axis=0)
    stacked[..., at] = means[at] if stacked.shape[-1] > 1 else 0.0
    return [(each,) for each in stacked]


def swapped(_of: TrainedTask, answers: Answers, _rng: Rng) -> Answers:
    """Every value in the place of the next; a single one turned round."""
    return [(np.roll(each[0], 1, axis=-1) if each[0].shape[-1] > 1 else 1.0 - each[0],) for each in answers]


def dead_class(of: TrainedTask, answers: Answers, _rng: Rng) -> Answers:
    """Whoever gives the rarest answer gives the most usual instead."""
    groups = [of.task.groups(each) for each in answers]
    every = [at for each in groups for at in each]
    rarest = min(sorted(set(every)), key=every.count)
    usual = max(sorted(set(every) - {rarest}), key=every.count)
    without = [at for at, each in enumerate(groups) if rarest not in each and usual in each]
    return [answers[without[at % len(without)]] if rarest in each else answers[at] for at, each in enumerate(groups)]


def a_third_random(_of: TrainedTask, answers: Answers, rng: Rng) -> Answers:
    """The answer to any other input, on every third."""
    return [answers[rng.integers(len(answers))] if at % 3 == 0 else each for at, each in enumerate(answers)]


OF_ANSWERS: Final[dict[str, Callable[[TrainedTask, Answers, Rng], Answers]]] = {
    "always the same": constant,
    "of the input before": late,
    "one value destroyed": one_value_destroyed,
    "values swapped": swapped,
    "dead for one class": dead_class,
    "a third at random": a_third_random,
}


@dataclass(frozen=True, slots=True)
class Damaged:
    name: str
    answers: Answers
    drop: float  # of the figure


def kind_of(of: TrainedTask, live: Answers, answers: Answers, fits: Fits | None) -> str:
    """What the hypotheses call this copy, by all inputs."""
    comparison = AnswerComparison(of.task)
    for at, (ours, theirs) in enumerate(zip(live, answers, strict=True)):
        compared = comparison.compare(ours, theirs)
        comparison.count(compared)
        if fits:
            comparison.count_labelled(_pair(fits[at], compared))
    tally = Tally(inputs=len(live), **comparison.figures())
    classes = [each for each in tally.live_answers if each.seen >= ANSWER_SEEN_MIN]
    if fits:
        drop, lost = mean(tally.accuracy_drops), max(mean(each.drops) for each in classes)
        worse, good = (
            drop >= LIMITS.accuracy_drop_max or lost >= ANSWER_DROP_WORSE,
            drop <= 0 and lost <= ANSWER_DROP_EQUAL,
        )
    else:
        alike, least = tally.agreement or 0.0, min(mean(each.alike) for each in classes)
        worse = alike <= LIMITS.agreement_min or least <= ANSWER_WORSE * LIMITS.agreement_min
        good = alike >= LIMITS.agreement_good and least >= ANSWER_EQUAL * LIMITS.agreement_min
    return "worse" if worse else "as good" if good else "between"


@dataclass(frozen=True, slots=True)
class Verdicts:
    kind: str
    adopted: int
    refused: int
    undecided: int
    median_inputs: float

    def cell(self) -> str:
        """The verdict, or how often which, and after how many inputs."""
        trials = self.adopted + self.refused + self.undecided
        found = {"adopted": self.adopted, "refused": self.refused, "no verdict": self.undecided}
        told = [name if count == trials else f"{name} {count / trials:.0%}" for name, count in found.items() if count]
        inputs = f", {self.median_inputs:.0f}" if self.adopted or self.refused else ""
        return f"{self.kind}: {', '.join(told)}{inputs}".replace("%", " %")


def damaged_copies(of: TrainedTask, seed: int) -> Iterator[Damaged]:
    """The live model's own answers first."""
    live: Answers = []
    for name, file in of.files.items():
        answers = _answers(of, file)
        live = live or answers
        yield Damaged(name, answers, of.figure(live) - of.figure(answers))
    for at, (name, damage) in enumerate(OF_ANSWERS.items()):
        if name == "dead for one class" and len({each for row in live for each in of.task.groups(row)}) < 2:
            continue
        answers = damage(of, live, np.random.default_rng((seed, at)))
        yield Damaged(name, answers, of.figure(live) - of.figure(answers))


def _answers(of: TrainedTask, file: bytes) -> Answers:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(file)
        model = open_model(path)
        return [(model.run([of.x[at : at + 1]])[0][0],) for at in range(len(of.x))]


def tried(of: TrainedTask, live: Answers, damaged: Damaged, *, labels: bool, trials: int, seed: int) -> Verdicts:
    """Trials of the copy beside the live model, each in an order of its own."""
    fits = _fits(of, live, damaged.answers) if labels else None
    endings = []
    known = _given_before(of, live)
    for at in range(trials):
        order = np.random.default_rng((seed, at)).integers(0, len(live), INPUTS_MAX)
        endings.append(_ending(of, live, damaged.answers, order, fits, known))
    lengths = [length for allowed, length in endings if allowed is not None]
    adopted, refused, undecided = (sum(allowed is which for allowed, _ in endings) for which in (True, False, None))
    kind = kind_of(of, live, damaged.answers, fits)
    return Verdicts(kind, adopted, refused, undecided, float(median(lengths)) if lengths else 0.0)


def _given_before(of: TrainedTask, live: Answers) -> dict[int, int]:
    """How often the live model gave each class, as a device counts before a trial."""
    sampled = range(0, HISTORY, SAMPLE_EVERY)
    return dict(Counter(group for at in sampled for group in of.task.groups(live[at % len(live)])))


def _fits(of: TrainedTask, live: Answers, answers: Answers) -> Fits:
    task, truths = of.task, of.truths or []
    return [
        (task.fit(ours, truth), task.fit(theirs, truth))
        for ours, theirs, truth in zip(live, answers, truths, strict=True)
    ]


def _ending(
    of: TrainedTask, live: Answers, answers: Answers, order: Array, fits: Fits | None, known: dict[int, int]
) -> tuple[bool | None, int]:
    comparison, drops = AnswerComparison(of.task, known=known), [0] * DROP_BINS
    for length, at in enumerate(order, start=1):
        ours, theirs = live[at], answers[at]
        compared = comparison.compare(ours, theirs)
        comparison.count(compared)
        if fits:
            comparison.count_labelled(_pair(fits[at], compared))
        _count_confidence(of, ours, theirs, drops)
        if length % JUDGED_EVERY == 0:
            tally = Tally(inputs=length, live_inferences=length, confidence_drops=tuple(drops), **comparison.figures())
            verdict = judge_shadow(tally, ELAPSED_S, LIMITS)
            if verdict:
                return verdict.allowed, length
    return None, INPUTS_MAX


def _pair(fits: tuple[float, float], compared: ComparedAnswers) -> FittedPair:
    return FittedPair(*fits, live_classes=compared.live_classes, shadow_classes=compared.shadow_classes)


def _count_confidence(of: TrainedTask, ours: Any, theirs: Any, drops: list[int]) -> None:
    (_, before), (_, after) = of.task.top(ours), of.task.top(theirs)
    if before is not None and after is not None:
        middle = DROP_BINS // 2
        drops[middle + round((before - after) * middle)] += 1


@dataclass(frozen=True, slots=True)
class DamageRow:
    task: str
    damaged: Damaged
    without: Verdicts
    with_labels: Verdicts | None

    def cells(self) -> list[str]:
        drop = f"{-100 * self.damaged.drop:+.1f}"
        labelled = self.with_labels.cell() if self.with_labels else "-"
        return [self.task, self.damaged.name, drop, self.without.cell(), labelled]


def rows_of(of: TrainedTask, *, trials: int, seed: int) -> Iterator[DamageRow]:
    live: Answers = []
    for damaged in damaged_copies(of, seed):
        live = live or damaged.answers
        without, labelled = (
            tried(of, live, damaged, labels=labels, trials=trials, seed=seed) if not labels or of.truths else None
            for labels in (False, True)
        )
        if without:
            yield DamageRow(of.title, damaged, without, labelled)


def rates(rows: Sequence[DamageRow]) -> list[str]:
    """How often an equal copy was refused and a worse one adopted, in all trials."""
    told = []
    for title, verdicts in (
        ("no labels", [(row, row.without) for row in rows]),
        ("labels", [(row, row.with_labels) for row in rows]),
    ):
        for kind, what in (("as good", "refused"), ("worse", "adopted")):
            found = [each for _, each in verdicts if each and each.kind == kind]
            trials = sum(each.adopted + each.refused + each.undecided for each in found)
            wrong = sum(each.refused if what == "refused" else each.adopted for each in found)
            told.append(f"{title}: {kind} and {what}: {wrong} of {trials} ({wrong / max(1, trials):.1%})")
    return told


def main() -> None:
    """Train, damage, try, and print the rows of the page."""
    parser = argparse.ArgumentParser(description="Which damages a trial finds.")
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--task", action="append", choices=[*TASKS], help="only this one; may be repeated")
    arguments = parser.parse_args()
    rows: list[DamageRow] = []
    # the device's runtime and TensorFlow do not open models in one process
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as another:
        for of in another.map(trained, chosen := arguments.task or [*TASKS], [arguments.seed] * len(chosen)):
            for row in rows_of(of, trials=arguments.trials, seed=arguments.seed):
                rows.append(row)
                show(f"| {' | '.join(row.cells())} |")
    for line in rates(rows):
        show(line)


if __name__ == "__main__":
    main()
