"""Damages of made-up answers end as those of trained networks do."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from bench.damaged_tasks import TASKS, TrainedTask
from bench.damages import OF_ANSWERS, Answers, Damaged, DamageRow, rates, tried
from bench.trial import LIMITS
from protocol.messages.contract import Contract, TaskDeclaration, Tensor
from tests.pages import PROJECT, page

SHOWN = 300
RATES = ("labels: ", "no labels: ")
RNG = np.random.default_rng(5)
VALUES = RNG.normal(size=(SHOWN, 2))
OTHERS = RNG.normal(size=(SHOWN, 2))
LIVE: Answers = [(values, others) for values, others in zip(VALUES, OTHERS, strict=True)]
X = Tensor(name="x", shape=(1, 4))
TWO_OUTPUTS = TrainedTask(
    "regression",
    {},
    Contract(
        inputs=(X,),
        outputs=tuple(Tensor(name=name, shape=(1, 2), spread=(1.0, 1.0), role=name) for name in ("values", "more")),
        task=TaskDeclaration(name="regression"),
    ),
    np.zeros((SHOWN, 4)),
    list(VALUES),
    list(VALUES),
)
CLASSES = TrainedTask(
    "classification",
    {},
    Contract(
        inputs=(X,),
        outputs=(Tensor(name="y", shape=(1, 4)),),
        task=TaskDeclaration(name="classification", form="softmax"),
    ),
    np.zeros((SHOWN, 4)),
    [at % 4 for at in range(SHOWN)],
    [at % 4 for at in range(SHOWN)],
)
CLASS_ANSWERS: Answers = [(np.eye(4)[at % 4] * 0.9,) for at in range(SHOWN)]

TWO_OUTPUTS_DAMAGED: dict[str, tuple[Answers, bool]] = {
    "the same": (LIVE, True),
    "8-bit copy": ([(np.round(a * 50) / 50, np.round(b * 50) / 50) for a, b in LIVE], True),
    "1 % noise": ([(a + 0.01 * RNG.normal(size=2), b) for a, b in LIVE], True),
    "outputs swapped": ([(b, a) for a, b in LIVE], False),
    "the other output destroyed": ([(a, np.zeros(2)) for a, _ in LIVE], False),
    "the other output of the input before": ([(a, LIVE[at - 1][1]) for at, (a, _) in enumerate(LIVE)], False),
    "one value destroyed": ([(a * [1.0, 0.0], b) for a, b in LIVE], False),
}


@pytest.mark.parametrize("name", TWO_OUTPUTS_DAMAGED)
def test_every_output_counts(name: str) -> None:
    answers, allowed = TWO_OUTPUTS_DAMAGED[name]
    verdicts = tried(TWO_OUTPUTS, LIVE, Damaged(name, answers, 0.0), labels=False, trials=3, seed=1)
    assert (verdicts.adopted, verdicts.refused) == ((3, 0) if allowed else (0, 3))
    assert verdicts.kind == ("as good" if allowed else "worse")


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("name", sorted(OF_ANSWERS.keys() - {"one value destroyed"}))  # the others stay under it
def test_what_is_done_to_the_answers_of_a_classifier_is_found(name: str, labels: bool) -> None:
    answers = OF_ANSWERS[name](CLASSES, CLASS_ANSWERS, np.random.default_rng(1))
    verdicts = tried(CLASSES, CLASS_ANSWERS, Damaged(name, answers, 0.5), labels=labels, trials=3, seed=1)
    row = DamageRow("classification", Damaged(name, answers, 0.5), verdicts, None)
    assert (verdicts.kind, verdicts.refused) == ("worse", 3)
    assert row.cells()[2:4] == ["-50.0", f"worse: refused, {verdicts.median_inputs:.0f}"]
    assert rates([row])[1] == "no labels: worse and adopted: 0 of 3 (0.0%)"
    assert LIMITS.worse_adopted_max == 0.05


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("task", [*TASKS])
def test_the_page_of_damages_is_what_the_run_prints(task: str) -> None:
    command = [sys.executable, "-m", "bench.damages", "--task", task]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=3_500)
    printed = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("|")]
    told = page("docs/DAMAGES.md").table("task", "damage")
    # weights that are trained on another processor differ in their last bits
    assert [row[:2] for row in printed] == [row[:2] for row in told if row[0] == printed[0][0]]
    shares = [
        float(line.rpartition("(")[2].rstrip("%)")) for line in done.stdout.splitlines() if line.startswith(RATES)
    ]
    assert len(shares) == 4
    assert max(shares) <= 100 * LIMITS.worse_adopted_max
