"""Each task: harmless changes are alike, harmful ones are not; truths fit or fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from protocol.errors import BadInput, ContractDiffers
from protocol.messages.contract import Contract, TaskDeclaration, Tensor
from protocol.tasks.selection import task_of
from protocol.tasks.task import Array, Outputs, Task

Case = tuple[Contract, list[list[Array]]]
SAMPLES = 40


def a_contract(name: str, *outputs: Tensor, form: str = "", threshold: float | None = None) -> Contract:
    task = TaskDeclaration(name=name, form=form, threshold=threshold)
    return Contract(inputs=(Tensor(name="x", shape=(1, 4)),), outputs=outputs, task=task)


def with_spreads(contract: Contract, answers: list[list[Array]]) -> Contract:
    """As a release measures them."""
    outputs = []
    for at, tensor in enumerate(contract.outputs):
        values = np.stack([each[at] for each in answers]).astype(np.float64)
        deviations = np.square(values - values.mean(axis=0))
        last = values.shape[-1]
        by_column = np.sqrt(deviations.reshape(-1, last).mean(axis=0)) if last <= 64 else [np.sqrt(deviations.mean())]
        outputs.append(tensor.model_copy(update={"spread": tuple(float(each) for each in by_column)}))
    return contract.model_copy(update={"outputs": tuple(outputs)})


def softmax() -> Case:
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.full(5, 0.1), SAMPLES)
    return a_contract("classification", Tensor(name="y", shape=(1, 5)), form="softmax"), [[each] for each in shares]


def multi_label() -> Case:
    rng = np.random.default_rng(2)
    scores = rng.beta(0.2, 0.3, (SAMPLES, 6))
    return a_contract("classification", Tensor(name="y", shape=(1, 6)), form="multi_label"), [[each] for each in scores]


def sigmoid() -> Case:
    rng = np.random.default_rng(3)
    scores = rng.beta(0.1, 0.2, (SAMPLES, 1))
    return a_contract("classification", Tensor(name="y", shape=(1, 1)), form="sigmoid"), [[each] for each in scores]


def boxes() -> Case:
    rng = np.random.default_rng(4)
    tensors = [Tensor(name=role, shape=shape, role=role) for role, shape in BOXES.items()]
    answers = []
    for _ in range(SAMPLES):
        low = rng.uniform(0, 0.6, (8, 2))
        corners = np.concatenate([low, low + rng.uniform(0.15, 0.4, (8, 2))], axis=1)
        scores = np.sort(rng.beta(0.3, 0.3, 8))[::-1]
        answers.append([corners, rng.integers(0, 4, 8).astype(np.float64), scores, np.array([8.0])])
    return a_contract("detection", *tensors, form="boxes"), answers


BOXES = {"boxes": (1, 8, 4), "classes": (1, 8), "scores": (1, 8), "count": (1,)}


def rows() -> Case:
    rng = np.random.default_rng(5)
    answers = []
    for _ in range(SAMPLES):
        cells = np.concatenate(
            [
                rng.uniform(0.2, 0.8, (60, 2)),
                rng.uniform(0.1, 0.3, (60, 2)),
                rng.beta(0.1, 0.5, (60, 1)),
                rng.beta(0.1, 0.3, (60, 3)),
            ],
            axis=1,
        )
        answers.append([cells])
    return a_contract("detection", Tensor(name="y", shape=(1, 60, 8)), form="rows"), answers


def anchors() -> Case:
    rng = np.random.default_rng(6)
    tensors = (Tensor(name="b", shape=(1, 50, 16), role="boxes"), Tensor(name="s", shape=(1, 50, 1), role="scores"))
    answers = [[rng.normal(0, 30, (50, 16)), rng.normal(-3, 3, (50, 1))] for _ in range(SAMPLES)]
    return a_contract("detection", *tensors, form="anchors", threshold=0.0), answers


def segmentation() -> Case:
    rng = np.random.default_rng(7)
    answers = []
    for _ in range(SAMPLES):
        coarse = rng.dirichlet(np.full(3, 0.2), (4, 4))
        answers.append([np.kron(coarse, np.ones((4, 4, 1)))])
    return a_contract("segmentation", Tensor(name="y", shape=(1, 16, 16, 3))), answers


def keypoints() -> Case:
    rng = np.random.default_rng(8)
    shape = rng.uniform(0, 100, (21, 3))
    tensors = (Tensor(name="p", shape=(1, 63), role="points"), Tensor(name="s", shape=(1, 1), role="presence"))
    answers = [
        [(shape * rng.uniform(0.5, 1) + rng.uniform(0, 100, 3)).ravel(), rng.beta(0.2, 0.1, 1)] for _ in range(SAMPLES)
    ]
    return a_contract("keypoints", *tensors, form="3d"), answers


def regression() -> Case:
    rng = np.random.default_rng(9)
    values = rng.normal([20.0, 30.0, 5.0], [5.0, 8.0, 4.0], (SAMPLES, 3))
    return a_contract("regression", Tensor(name="y", shape=(1, 3))), [[each] for each in values]


def embedding() -> Case:
    rng = np.random.default_rng(10)
    vectors = np.abs(rng.normal(1, 1, (SAMPLES, 128)))
    return a_contract("embedding", Tensor(name="y", shape=(1, 128))), [[each] for each in vectors]


def scores() -> Case:
    rng = np.random.default_rng(11)
    tensors = (Tensor(name="a", shape=(1, 7)), Tensor(name="b", shape=(1, 2, 80)))
    answers = [[rng.normal(0, 1, 7), rng.normal(50, 9, (2, 80))] for _ in range(SAMPLES)]
    return a_contract("scores", *tensors), answers


CASES: list[Callable[[], Case]] = [
    softmax, multi_label, sigmoid, boxes, rows, anchors, segmentation, keypoints, regression, embedding, scores,
]  # fmt: skip


@dataclass
class Setting:
    task: Task
    answers: list[list[Array]]

    def alike(self, change: Callable[[int, list[Array]], Outputs]) -> float:
        changed = [change(at, each) for at, each in enumerate(self.answers)]
        return float(np.mean([self.task.alike(a, b) for a, b in zip(self.answers, changed, strict=True)]))


@pytest.fixture(params=CASES, ids=lambda case: case.__name__)
def setting(request: pytest.FixtureRequest) -> Setting:
    contract, answers = request.param()
    return Setting(task_of(with_spreads(contract, answers)), answers)


def eight_bits(array: Array, all_: Array) -> Array:
    low, high = float(all_.min()), float(all_.max())
    step = (high - low) / 255 or 1.0
    return np.asarray(low + np.rint((array - low) / step) * step)


def test_the_same_answer_is_wholly_alike(setting: Setting) -> None:
    assert setting.alike(lambda _, each: each) == 1.0


def test_a_float16_copy_is_alike(setting: Setting) -> None:
    assert setting.alike(lambda _, each: [array.astype(np.float16) for array in each]) > 0.97


def test_an_8_bit_copy_is_alike(setting: Setting) -> None:
    all_ = [np.stack(column) for column in zip(*setting.answers, strict=True)]

    def copied(_: int, each: list[Array]) -> Outputs:
        return [eight_bits(array, whole) for array, whole in zip(each, all_, strict=True)]

    assert setting.alike(copied) > 0.88


def test_the_same_answer_to_every_input_is_not_alike(setting: Setting) -> None:
    """Nor is it where a class hides it: then the classes of the others show it."""
    means = [np.mean(column, axis=0) for column in zip(*setting.answers, strict=True)]
    alike: dict[int, list[float]] = {}
    for answer in setting.answers:
        for group in setting.task.groups(answer):
            alike.setdefault(group, []).append(setting.task.alike(answer, means))
    assert min(float(np.mean(each)) for each in alike.values()) < 0.5


def test_answers_to_other_inputs_are_not_alike(setting: Setting) -> None:
    shuffled = setting.answers[1:] + setting.answers[:1]
    assert setting.alike(lambda at, _: shuffled[at]) < 0.75


def test_any_destroyed_output_shows(setting: Setting) -> None:
    rng = np.random.default_rng(12)
    for destroyed in range(len(setting.answers[0])):
        columns = np.stack([each[destroyed] for each in setting.answers])

        def damaged(_: int, each: list[Array], at: int = destroyed, all_: Array = columns) -> Outputs:
            noise = rng.permutation(all_.ravel())[: each[at].size].reshape(each[at].shape)
            return [noise if index == at else array for index, array in enumerate(each)]

        if np.ptp(columns):  # the count of boxes never varies
            assert setting.alike(damaged) < 0.85, destroyed


def test_alikeness_is_a_share_whatever_is_compared(setting: Setting) -> None:
    rng = np.random.default_rng(13)
    for answer in setting.answers[:10]:
        wild = [rng.normal(0, 10.0 ** rng.integers(-3, 6), each.shape) for each in answer]
        assert 0.0 <= setting.task.alike(answer, wild) <= 1.0
        assert 0.0 <= setting.task.alike(wild, answer) <= 1.0
        confidence = setting.task.top(wild)[1]
        assert confidence is None or 0.0 <= confidence <= 1.0
        assert setting.task.groups(wild)


TRUTHS: list[tuple[Callable[[], Case], Any, Any]] = [
    (softmax, 3, 9),
    (softmax, "b", "z"),
    (multi_label, ["a", 2], ["a", "z"]),
    (sigmoid, True, 2),
    (boxes, {"boxes": [[0, 0, 1, 1]], "classes": ["c"]}, {"boxes": [[0, 0, 1]]}),
    (boxes, {"boxes": [], "classes": []}, [1, 2]),
    (segmentation, np.zeros((16, 16), int), np.zeros((16, 16))),
    (keypoints, np.zeros((21, 2)), np.zeros(42)),
    (regression, [1, 2, 3], [1, 2]),
    (regression, (1.0, 2.0, 3.0), [1, float("nan"), 2]),
    (embedding, np.zeros(128), np.zeros(12)),
    (scores, [np.zeros(7), np.zeros((2, 80))], np.zeros(7)),
]


@pytest.mark.parametrize(("case", "good", "bad"), TRUTHS)
def test_truths_are_read_or_refused(case: Callable[[], Case], good: Any, bad: Any) -> None:
    contract, answers = case()
    task = task_of(with_spreads(contract, answers))
    assert 0.0 <= task.fit(answers[0], task.truth(good, list("abcde"))) <= 1.0
    with pytest.raises(BadInput):
        task.truth(bad, list("abcde"))


def test_a_perfect_answer_fits_and_measures_one() -> None:
    contract, answers = boxes()
    task = task_of(contract)
    found = [task.answer(each) for each in answers]
    truths = [task.truth({"boxes": each.boxes, "classes": each.classes.tolist()}, []) for each in found]
    assert all(task.fit(each, truth) == 1.0 for each, truth in zip(answers, truths, strict=True))
    only_sure = [[b, c, np.where(s >= 0.5, s, 0.0), n] for b, c, s, n in answers]
    assert task.figure(only_sure, truths) == pytest.approx(1.0)
    assert task.figure([*only_sure[1:], only_sure[0]], truths) < 0.3


def test_measures_follow_their_sources() -> None:
    contract, answers = regression()
    task = task_of(with_spreads(contract, answers))
    truths = [task.truth(each[0], []) for each in answers]
    assert task.figure(answers, truths) == 1.0
    assert task.figure([[np.mean(truths, axis=0)]] * SAMPLES, truths) == pytest.approx(0.0, abs=1e-9)
    kinds = np.arange(SAMPLES) // 2
    vectors = [[np.eye(128)[kind] + 0.01 * at] for at, kind in enumerate(kinds)]
    assert task_of(embedding()[0]).figure(vectors, kinds.tolist()) == 1.0
    wake = task_of(sigmoid()[0])
    assert wake.figure([[np.array([0.1])]] * 10, [0] * 9 + [1]) == 0.5


def test_finding_nothing_where_nothing_is_is_right() -> None:
    task = task_of(boxes()[0])
    nothing = [np.zeros((0, 4)), np.zeros(0), np.zeros(0), np.zeros(1)]
    assert task.alike(nothing, nothing) == 1.0
    assert task.fit(nothing, task.truth({"boxes": []}, [])) == 1.0
    assert task.top(nothing) == (None, None)
    assert task.alike(boxes()[1][0], nothing) == 0.0


def test_another_task_or_order_of_outputs_is_no_successor() -> None:
    contract = boxes()[0]
    swapped = contract.model_copy(update={"outputs": tuple(contract.outputs[at] for at in (0, 2, 1, 3))})
    with pytest.raises(ContractDiffers, match="boxes, scores, classes, count"):
        contract.check_successor(swapped)
    with pytest.raises(ContractDiffers, match="scores where earlier versions have detection boxes"):
        contract.check_successor(contract.model_copy(update={"task": TaskDeclaration(name="scores")}))
    contract.check_successor(contract.model_copy(update={"task": None}))


@pytest.mark.parametrize("count", [0, 1, 3, 20])
@pytest.mark.parametrize("shape", [(-1, 8), (8, -1)])
def test_a_detector_of_a_free_number_of_rows_may_find_few_boxes_or_none(shape: tuple[int, int], count: int) -> None:
    x = Tensor(name="x", shape=(1, 8))
    declared = TaskDeclaration(name="detection", form="rows")
    task = task_of(Contract(inputs=(x,), outputs=(Tensor(name="y", shape=shape),), task=declared))
    rows = np.array([[10.0 * at, 5.0, 2.0, 2.0, 1.0, 0.1, 0.9, 0.2] for at in range(count)]).reshape(count, 8)
    answer = task.answer([rows if shape[0] == -1 else np.delete(rows, 4, axis=1).T])
    assert answer.classes.tolist() == [1] * count
    assert sorted(answer.boxes[:, 0].tolist()) == [10.0 * at - 1.0 for at in range(count)]
