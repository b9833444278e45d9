"""The task of a foreign model is guessed with a reason, or taken as given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.errors import BadInput, BadModel
from protocol.messages.contract import Contract, Tensor
from publisher.learning.tasks.declaration import TaskRequest, declare, parse_roles, parse_task, spread_of_values
from publisher.learning.tasks.outputs import Hints

Array = NDArray[Any]
RNG = np.random.default_rng(0)
N = 12
SHARES = RNG.dirichlet(np.ones(5), N)
UNIT = RNG.uniform(0, 1, (N, 5))
WIDE = RNG.normal(0, 9, (N, 5))
BOXES, CLASSES = RNG.uniform(0, 1, (N, 10, 4)), RNG.integers(0, 90, (N, 10)).astype(float)
SCORES, COUNT = RNG.uniform(0, 1, (N, 10)), np.full((N, 1), 10.0)
WIDE63 = RNG.normal(0, 1, (N, 63))
PICTURE = (1, 96, 96, 3)


def a_contract(
    outputs: list[Array], *, picture: bool = True, names: tuple[str, ...] = (), dtype: str = "float32"
) -> Contract:
    tensors = tuple(
        Tensor(name=names[at] if names else f"o{at}", shape=(1, *each.shape[1:]), dtype=dtype)
        for at, each in enumerate(outputs)
    )
    return Contract(inputs=(Tensor(name="x", shape=PICTURE if picture else (1, 8)),), outputs=tensors)


GUESSES: list[tuple[list[Array], dict[str, Any], str]] = [
    ([SHARES], {}, "classification softmax"),
    ([UNIT], {}, "classification multi_label"),
    ([WIDE], {}, "regression"),
    ([WIDE], {"hints": Hints(labels=5)}, "classification softmax"),
    ([WIDE], {"hints": Hints(classes=True)}, "classification softmax"),
    ([WIDE], {"names": ("logits",)}, "classification softmax"),
    ([RNG.uniform(0, 1, (N, 1))], {}, "classification sigmoid"),
    ([RNG.normal(20, 5, (N, 1))], {}, "regression"),
    ([UNIT[:, :1]], {"hints": Hints(operations=frozenset({"FULLY_CONNECTED"}))}, "regression"),
    ([UNIT], {"hints": Hints(operations=frozenset({"FULLY_CONNECTED"}))}, "regression"),
    ([WIDE63, UNIT[:, :1], RNG.normal(0, 1, (N, 64, 64, 39))], {"hints": Hints("pose.tflite")}, "keypoints 3d"),
    ([RNG.normal(0, 1, (N, 128))], {}, "embedding"),
    ([RNG.uniform(0, 1, (N, 6400, 85))], {}, "detection rows"),
    ([RNG.normal(0, 1, (N, 84, 8400))], {}, "detection rows"),
    ([RNG.normal(0, 1, (N, 6400, 85))], {"picture": False}, "scores"),
    ([RNG.normal(0, 9, (N, 896, 16)), RNG.normal(-3, 2, (N, 896, 1))], {}, "detection anchors"),
    ([BOXES, CLASSES, SCORES, COUNT], {}, "detection boxes"),
    ([RNG.uniform(0, 1, (N, 96, 96, 1))], {}, "segmentation sigmoid"),
    ([RNG.normal(0, 1, (N, 32, 32, 21))], {}, "segmentation scores"),
    ([RNG.integers(0, 9, (N, 32, 32))], {"dtype": "int64"}, "segmentation mask"),
    ([RNG.normal(0, 1, (N, 96, 96, 3))], {}, "scores"),
    ([RNG.normal(0, 1, (N, 1, 17, 3))], {}, "keypoints scored"),
    ([WIDE63, UNIT[:, :1], UNIT[:, :1], WIDE63], {"hints": Hints("hand_landmark.tflite")}, "keypoints 3d"),
    ([SHARES, RNG.normal(0, 1, (N, 64))], {}, "classification softmax"),
    ([WIDE, WIDE], {}, "scores"),
    ([WIDE[:, :3], WIDE], {"picture": False}, "scores"),
]  # fmt: skip


@pytest.mark.parametrize(("outputs", "more", "title"), GUESSES)
def test_a_task_is_guessed_with_its_reason(outputs: list[Array], more: dict[str, Any], title: str) -> None:
    hints = more.pop("hints", Hints())
    contract = declare(a_contract(outputs, **more), outputs, hints)
    assert contract.task is not None
    assert contract.task.title == title
    assert contract.task.reason.startswith("guessed: ")
    assert all(tensor.spread for tensor in contract.outputs)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 3, 1), (3, 2, 1, 0)])
def test_roles_of_a_detector_are_found_in_any_order(order: tuple[int, ...]) -> None:
    outputs = [[BOXES, CLASSES, SCORES, COUNT][at] for at in order]
    contract = declare(a_contract(outputs), outputs, Hints())
    assert [tensor.role for tensor in contract.outputs] == [["boxes", "classes", "scores", "count"][at] for at in order]


def test_given_roles_that_the_values_deny_are_refused() -> None:
    outputs = [BOXES, SCORES, CLASSES, COUNT]
    with pytest.raises(BadModel, match=r"output 1 .* declared as classes, but its values are no whole numbers"):
        declare(a_contract(outputs), outputs, Hints(), TaskRequest(roles=("boxes", "classes", "scores", "count")))


@pytest.mark.parametrize(
    "roles", [("boxes",), ("boxes", "boxes", "scores", "count"), ("head", "", "", ""), ("", "", "", "")]
)
def test_roles_that_cannot_be_are_refused(roles: tuple[str, ...]) -> None:
    outputs = [BOXES, CLASSES, SCORES, COUNT]
    with pytest.raises(BadInput):
        declare(a_contract(outputs), outputs, Hints(), TaskRequest(parse_task("detection:boxes"), roles))


def test_a_detector_whose_roles_nobody_knows_is_refused() -> None:
    with pytest.raises(BadInput, match="not known"):
        declare(a_contract([WIDE, WIDE]), [WIDE, WIDE], Hints(), TaskRequest(parse_task("detection:boxes")))


def test_a_given_task_wins_and_keeps_what_was_guessed_of_it() -> None:
    values = declare(a_contract([UNIT]), [UNIT], Hints(), TaskRequest(parse_task("regression"))).task
    assert values is not None
    assert values.title == "regression"
    heads = [RNG.normal(0, 9, (N, 896, 16)), RNG.normal(-3, 2, (N, 896, 1))]
    task = declare(a_contract(heads), heads, Hints(), TaskRequest(parse_task("detection"))).task
    assert task is not None
    assert (task.title, task.threshold, task.reason) == ("detection anchors", 0.0, "given")


@pytest.mark.parametrize(
    ("text", "title", "threshold"),
    [("scores", "scores", None), ("classification:multi_label@0.3", "classification multi_label", 0.3)],
)
def test_a_task_is_read(text: str, title: str, threshold: float | None) -> None:
    task = parse_task(text)
    assert (task.title, task.threshold) == (title, threshold)


@pytest.mark.parametrize(
    "text", ["", "telepathy", "detection:soft", "regression:linear", "scores@", "scores@1e", "a b"]
)
def test_a_task_that_is_none_is_refused_with_the_way_out(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_task(text)
    assert refused.value.hint


def test_a_spread_is_by_column_where_units_may_differ() -> None:
    values = np.stack([np.array([0.0, 10.0]), np.array([2.0, 30.0])])
    assert spread_of_values(values) == (1.0, 10.0)
    assert spread_of_values(np.zeros((4, 100))) == (0.0,)
    assert spread_of_values(np.array(["a", "b"])) == ()


def test_values_of_quantized_outputs_are_read_as_real_numbers() -> None:
    shares = np.rint(SHARES * 256).clip(0, 255).astype(np.uint8)
    tensor = Tensor(name="y", shape=(1, 5), dtype="uint8", scale=1 / 256)
    contract = Contract(inputs=(Tensor(name="x", shape=PICTURE, dtype="uint8"),), outputs=(tensor,))
    declared = declare(contract, [shares], Hints())
    assert declared.task is not None
    assert declared.task.title == "classification softmax"
    assert all(0 < each < 1 for each in declared.outputs[0].spread)


def test_outputs_of_free_length_and_text_are_described() -> None:
    ragged = np.empty(3, object)
    for at in range(3):
        ragged[at] = np.arange(2.0 * at).reshape(at, 2)
    outputs = (Tensor(name="y", shape=(-1, 2)), Tensor(name="t", shape=(1, 1), dtype="string"))
    contract = Contract(inputs=(Tensor(name="x", shape=(1, 8)),), outputs=outputs)
    declared = declare(contract, [ragged, np.array([[b"a"], [b"b"], [b"a"]])], Hints())
    assert declared.task is not None
    assert declared.task.title == "scores"
    assert [len(each.spread) for each in declared.outputs] == [2, 0]


@pytest.mark.parametrize(
    ("task", "shapes"),
    [
        ("detection", [(10, 2)]),
        ("detection:anchors", [(10, 4)]),
        ("detection", [(10, 4), (10, 1)]),
        ("keypoints:2d", [(3,)]),
        ("segmentation:scores", [(8, 8, 0)]),
    ],
)
@pytest.mark.parametrize("known", ["all", "none", "of one size"])
def test_a_task_that_cannot_read_the_outputs_is_refused(task: str, shapes: list[tuple[int, ...]], known: str) -> None:
    """A device would fail at its first prediction."""
    outputs = [RNG.normal(0, 9, (N, *shape)) for shape in shapes]
    seen = {"all": outputs, "none": [], "of one size": [np.zeros(0) for _ in outputs]}[known]
    with pytest.raises((BadInput, BadModel)) as refused:
        declare(a_contract(outputs), seen, Hints(), TaskRequest(parse_task(task)))
    assert refused.value.hint


@pytest.mark.parametrize("task", ["scores", "detection"])
def test_outputs_of_a_free_number_that_a_task_can_read_are_taken(task: str) -> None:
    contract = Contract(inputs=(Tensor(name="x", shape=(1, 8)),), outputs=(Tensor(name="y", shape=(-1, 6)),))
    declared = declare(contract, [np.zeros(0)], Hints(), TaskRequest(parse_task(task))).task
    assert declared is not None
    assert declared.name == task


def test_boxes_of_a_detection_have_four_values() -> None:
    outputs = [RNG.uniform(0, 1, (N, 8, 5)), CLASSES[:, :8], SCORES[:, :8]]
    request = TaskRequest(parse_task("detection:boxes"), ("boxes", "classes", "scores"))
    with pytest.raises(BadModel, match=r"declared as boxes, but one has the shape \[8, 5\]"):
        declare(a_contract(outputs), outputs, Hints(), request)


@pytest.mark.parametrize(
    ("task", "output", "threshold"),
    [
        ("classification:sigmoid", WIDE[:, :1], 0.0),
        ("classification", WIDE[:, :1], 0.0),
        ("classification:sigmoid", UNIT[:, :1], 0.5),
        ("classification:sigmoid@0.7", WIDE[:, :1], 0.7),
        ("classification:multi_label", WIDE, 0.0),
        ("segmentation:sigmoid", RNG.normal(0, 9, (N, 16, 16, 1)), 0.0),
        ("classification:softmax", WIDE, None),
    ],
)
def test_the_threshold_of_logits_is_zero(task: str, output: Array, threshold: float | None) -> None:
    declared = declare(a_contract([output]), [output], Hints(), TaskRequest(parse_task(task))).task
    assert declared is not None
    assert declared.threshold == threshold


def test_roles_are_read() -> None:
    assert parse_roles("boxes, classes,-,count") == ("boxes", "classes", "", "count")


@pytest.mark.parametrize("task", ["classification", "keypoints", "regression", "embedding"])
def test_a_task_of_a_fixed_number_of_values_refuses_an_output_of_a_free_one(task: str) -> None:
    """An empty one would have no largest score, and no first value."""
    outputs = (Tensor(name="y", shape=(-1, 2)),)
    contract = Contract(inputs=(Tensor(name="x", shape=(1, 8)),), outputs=outputs)
    with pytest.raises(BadInput, match="fixed number"):
        declare(contract, [], Hints(), TaskRequest(parse_task(task)))
