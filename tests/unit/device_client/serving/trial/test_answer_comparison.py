"""How alike answers are is counted class by class, and beside a constant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from device_client.core.trial.bins import ONE, mean, total
from device_client.core.trial.hypotheses import ANSWERS_MAX
from device_client.core.trial.tally import Tally
from device_client.serving.trial.answer_comparison import AnswerComparison
from device_client.serving.trial.labelled_pairs import FittedPair
from protocol.messages.contract import Contract, TaskDeclaration, Tensor
from protocol.tasks.selection import task_of
from protocol.tasks.task import Task

LABELS = ("no", "yes")


def a_task(name: str, *shape: int, form: str = "", spread: tuple[float, ...] = ()) -> Task:
    tensor = Tensor(name="out", shape=(1, *shape), spread=spread)
    return task_of(Contract(inputs=(tensor,), outputs=(tensor,), task=TaskDeclaration(name=name, form=form)))


def one_hot(at: int, of: int = 2) -> list[np.ndarray[Any, Any]]:
    return [np.eye(of, dtype=np.float32)[at]]


def counted(comparison: AnswerComparison, pairs: Sequence[tuple[Any, Any]]) -> Tally:
    for live, shadow in pairs:
        comparison.count(comparison.compare(live, shadow))
    return Tally(inputs=len(pairs), **comparison.figures())


def test_each_class_of_either_model_has_its_own_count() -> None:
    pairs = [(one_hot(0), one_hot(0))] * 5 + [(one_hot(1), one_hot(0))] * 3
    tally = counted(AnswerComparison(a_task("classification", 2), LABELS), pairs)
    assert (tally.agreed, tally.agreement) == (5, 5 / 8)
    assert [(each.name, each.seen, mean(each.alike)) for each in tally.live_answers] == [
        ("no", 5, 1.0),
        ("yes", 3, 0.0),
    ]
    assert [(each.name, each.seen, mean(each.alike)) for each in tally.shadow_answers] == [("no", 8, 5 / 8)]


def test_what_was_given_before_the_trial_is_known_and_one_misfire_is_not() -> None:
    tally = counted(AnswerComparison(a_task("classification", 3), LABELS, {0: 900, 1: 4, 2: 3}), [])
    assert [(each.name, each.known, each.seen) for each in tally.live_answers] == [("no", True, 0), ("yes", True, 0)]


def test_of_a_thousand_classes_the_most_frequent_are_judged_alone_and_the_others_together() -> None:
    of = 1_001
    known = {at: 2_000 - at for at in range(of)}
    pairs = [(one_hot(at, of), one_hot(at, of)) for at in range(0, of, 10)]
    tally = counted(AnswerComparison(a_task("classification", of), (), known), pairs)
    assert len(tally.live_answers) == ANSWERS_MAX
    rarer = tally.live_answers[0]
    assert (rarer.name, rarer.seen) == ("one of the rarer classes", len(pairs) - 4)


def test_answers_that_are_alike_in_part_are_counted_by_degrees() -> None:
    task = a_task("regression", 1, spread=(2.0,))
    pairs = [([np.array([10.0])], [np.array([10.0])]), ([np.array([10.0])], [np.array([10.5])])]
    tally = counted(AnswerComparison(task), pairs)
    assert tally.agreed == 1
    assert tally.agreement == pytest.approx((1.0 + 0.75) / 2, abs=0.01)


@pytest.mark.parametrize(("moves", "least"), [(0.0, 0.0), (2.0, -0.5)])
def test_a_stream_that_does_not_move_gives_no_contrast(moves: float, least: float) -> None:
    task = a_task("regression", 1, spread=(1.0,))
    answers = [[np.array([moves * (at % 4)])] for at in range(40)]
    tally = counted(AnswerComparison(task), [(each, each) for each in answers])
    assert total(tally.contrasts) == 39
    assert min(at for at, _ in tally.contrasts) == least * ONE


def test_a_first_answer_alone_has_nothing_to_vary_from() -> None:
    tally = counted(AnswerComparison(a_task("classification", 2)), [(one_hot(0), one_hot(0))])
    assert tally.contrasts == ((0, 1),)


def test_a_detection_counts_for_every_class_that_it_holds() -> None:
    tensors = tuple(
        Tensor(name=role, shape=shape, role=role)
        for role, shape in (("boxes", (1, 2, 4)), ("classes", (1, 2)), ("scores", (1, 2)))
    )
    declared = TaskDeclaration(name="detection", form="boxes")
    task = task_of(Contract(inputs=(tensors[0],), outputs=tensors, task=declared))
    boxes = np.array([[0, 0, 1, 1], [2, 2, 3, 3]], np.float32)
    both = [boxes, np.array([0.0, 1.0]), np.array([0.9, 0.8])]
    one = [boxes, np.array([0.0, 1.0]), np.array([0.9, 0.1])]
    tally = counted(AnswerComparison(task, LABELS), [(both, one)] * 20)
    assert [(each.name, mean(each.alike) > 0) for each in tally.live_answers] == [("no", True), ("yes", False)]


def test_labels_count_for_the_classes_of_both_answers() -> None:
    comparison = AnswerComparison(a_task("classification", 2), LABELS)
    comparison.count_labelled(FittedPair(1.0, 0.0, (1,), (0,)))
    comparison.count_labelled(FittedPair(0.75, 0.5, (1,), (1,)))
    tally = Tally(inputs=2, **comparison.figures())
    assert (tally.labelled, tally.only_live_correct, tally.partly_live, tally.partly_shadow) == (2, 1, 0.75, 0.5)
    assert tally.live_accuracy == pytest.approx(0.875)
    assert {each.name: total(each.drops) for each in tally.live_answers} == {"yes": 2}
    assert {each.name: total(each.drops) for each in tally.shadow_answers} == {"no": 1, "yes": 1}
