"""What a recipe is trained for: its truths are checked before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import BadRecipe
from publisher.learning.data.network_inputs import in_file_order
from publisher.learning.objectives.selection import OBJECTIVES
from publisher.learning.recipe.recipe import Recipe, load_recipe

START = """
import numpy as np

rng = np.random.default_rng(0)
x = rng.uniform(0, 1, (40, 6)).astype("float32")

def halves(y):
    return x[:30], y[:30], x[30:], y[30:]

def build_model():
    raise RuntimeError("loading a recipe builds no network")

def load_data():
    return halves(y)

task = {task!r}
y = {y}
"""
TRUTHS = {
    "classification": "np.arange(40) % 3",
    "binary": "np.arange(40) % 2",
    "multi-label": "(x[:, :3] > 0.5).astype(int)",
    "segmentation": "(rng.uniform(0, 1, (40, 4, 5)) * 3).astype(int)",
    "regression": "x[:, :2] * 7.0",
    "autoencoder": "None\ndef load_data(): return x[:30], x[30:]",
}


@dataclass(frozen=True)
class Break:
    """What is added below a whole recipe of a task, and what must be said of it."""

    task: str
    added: str
    said: str
    hint: str


BREAKS = [
    Break("regresion", "", "task in recipe.py is 'regresion', for which", "mean 'regression'"),
    Break("detection", "", "task in recipe.py is 'detection', for which", "one of classification, binary"),
    Break(
        "binary",
        "y = np.arange(40) % 3",
        "y_train has shape [30, 1] of int64, or other values",
        "0 or 1: y_train.ravel",
    ),
    Break("binary", "y = y * 0", "label 0 is 0 in every sample of y_train", "with it and without it"),
    Break("binary", "labels = list('abc')", "`labels` names 3", "two answers"),
    Break(
        "binary", "def load_data(): return x[:30], y[:20], x[30:], y[30:]", "y_train has 20 truths for 30", "its own"
    ),
    Break("multi-label", "y = y[:, :1]", "y_train has shape [30, 1] of int64", "(samples, labels) of 0 or 1"),
    Break("multi-label", "y = y * 2", "y_train has shape [30, 3] of int64, or other values", "of 0 or 1"),
    Break("multi-label", "labels = ['a', 'b']", "y_train has 3 labels a sample, but `labels` names 2", "each column"),
    Break("multi-label", "labels = list('abc'); y[:, 1] = 1", "label 1 (b) is 1 in every sample", "and without it"),
    Break(
        "multi-label",
        "def load_data(): return x[:30], y[:30], x[30:], y[30:, :2]",
        "y_test has 2 labels a sample",
        "both",
    ),
    Break("segmentation", "y = y[:, 0]", "y_train has shape [30, 5] of int64", "(samples, height, width)"),
    Break("segmentation", "y = y - 1", "hold classes that are not from 0 to 999", "number the classes from 0"),
    Break("segmentation", "y = np.where(y == 1, 0, y)", "no sample of class 1, of 3 classes", "without gaps"),
    Break(
        "segmentation",
        "def load_data(): return x[:30], y[:30], x[30:], y[30:, :2]",
        "masks of y_test have shape [2, 5]",
        "",
    ),
    Break(
        "segmentation", "def load_data(): return x[:30], y[:9], x[30:], y[30:]", "y_train has 9 masks for 30", "mask"
    ),
    Break("regression", "y = y[..., None]", "y_train has shape [30, 2, 1] of float32", "(samples,) for one value"),
    Break("regression", "y = np.array(['a'] * 40)", "y_train has shape [30] of <U1", "give real numbers"),
    Break("regression", "y[3, 0] = np.nan", "y_train has NaN or infinite values", "drop these samples"),
    Break("regression", "y[:, 1] = 5", "value 1 of y_train is always 5", "how it is loaded"),
    Break("regression", "y = y * 1e6", "y_train has values over 1e+06", "larger units"),
    Break("regression", "y[30:] *= 100", "y_test is far outside of y_train", "in the same way"),
    Break("regression", "labels = ['one']", "y_train has 2 values a sample, but `labels` names 1", "name each value"),
    Break(
        "regression",
        "def load_data(): return x[:30], y[:30], x[30:], y[30:, :1]",
        "y_test has 1 values a sample",
        "both",
    ),
    Break("regression", "def load_data(): return x[:30], y[:7], x[30:], y[30:]", "y_train has 7 values for 30", "own"),
    Break("autoencoder", "labels = ['a']", "an autoencoder has no labels", "leave"),
    Break("autoencoder", "def load_data(): return x", "gave a ndarray", "two numpy arrays"),
    Break(
        "autoencoder", "def load_data(): return x[:30], x[:30], x[30:], x[30:]", "gave a y", "(x_train, x_test), two"
    ),
    Break("autoencoder", "def load_data(): return [[x, x], [x, x]]", "gave a list of 2", "(x_train, x_test), two"),
    Break(
        "classification",
        "def load_data(): return (x[:30], x[:9]), y[:30], (x, x), y",
        "x_train[1] has 9 samples",
        "all in",
    ),
    Break(
        "classification",
        "def load_data(): return {'a': x[:30]}, y[:30], {'b': x[30:]}, y[30:]",
        "x_train has the inputs a, x_test b",
        "in the same way",
    ),
    Break("classification", "y = np.ma.array(y, mask=y > 1)", "gave y_train as a masked array", "y_train.filled(0)"),
    Break("classification", "x = np.ma.array(x, mask=x > 0.9)", "gave x_train as a masked array", "drop"),
    Break("classification", "def preprocess(x): return np.ma.array(x, mask=x > 0.9)", "as a masked array", "drop"),
    Break("classification", "def load_data(): return {}, y, {}, y", "gave x_train as 0 inputs", "1 to 16 inputs"),
    Break(
        "classification",
        "def load_data(): return {'a': 3}, y, {'a': 3}, y",
        "with 'a' as a int",
        "numpy array for each",
    ),
    Break(
        "classification",
        "def load_data(): return (x[:30], x[:30]), y[:30], (x[30:], x[30:, :5]), y[30:]",
        "samples of x_train[1] of x_test have shape [5]",
        "in the same way",
    ),
]


def a_recipe(folder: Path, task: str, added: str = "") -> Recipe:
    path = folder / "recipe.py"
    path.write_text(
        START.format(task=task, y="").replace("\ny = \n", f"\ny = {TRUTHS.get(task, 'None')}\n") + added + "\n"
    )
    return load_recipe(path)


@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: f"{broken.task}: {broken.said[:40]}")
def test_truths_that_cannot_be_learnt_get_their_own_clear_message(broken: Break, tmp_path: Path) -> None:
    with pytest.raises(BadRecipe) as refused:
        a_recipe(tmp_path, broken.task, broken.added)
    assert broken.said in refused.value.message
    assert broken.hint in refused.value.hint
    assert "\n" not in refused.value.message


@pytest.mark.parametrize("task", TRUTHS)
def test_perfect_outputs_reach_a_figure_of_1_and_constant_ones_less(task: str, tmp_path: Path) -> None:
    recipe = a_recipe(tmp_path, task)
    data, scoring = recipe.data, recipe.objective.scoring(recipe.data)
    perfect = recipe.objective.targets(data.y_test, data)
    constant = np.broadcast_to(perfect.mean(axis=0), perfect.shape)
    assert perfect.shape[1:] == recipe.objective.output_shape(data)
    assert scoring.figure(perfect, data.y_test) == pytest.approx(1.0)
    assert scoring.figure(constant, data.y_test) < 0.7
    assert scoring.agreement(perfect, perfect) == pytest.approx(1.0)
    assert scoring.agreement(constant, perfect) < 0.7


def test_every_objective_is_tried_here() -> None:
    assert set(TRUTHS) == set(OBJECTIVES)


@pytest.mark.parametrize(
    ("task", "labels", "shape", "measure"),
    [
        ("binary", (), (1,), "balanced accuracy"),
        ("multi-label", ("0", "1", "2"), (3,), "Jaccard index"),
        ("segmentation", ("0", "1", "2"), (4, 5, 3), "mIoU"),
        ("regression", (), (2,), "1 - nMAE"),
        ("autoencoder", (), (6,), "1 - nMAE"),
    ],
)
def test_a_task_names_its_measure_its_output_and_its_labels(
    task: str, labels: tuple[str, ...], shape: tuple[int, ...], measure: str, tmp_path: Path
) -> None:
    recipe = a_recipe(tmp_path, task)
    assert recipe.labels == labels
    assert recipe.objective.output_shape(recipe.data) == shape
    assert recipe.objective.scoring(recipe.data).measure == measure


def test_one_value_may_be_a_flat_array(tmp_path: Path) -> None:
    assert a_recipe(tmp_path, "regression", "y = y[:, 0]").data.y_train.shape == (30, 1)


def test_inputs_by_name_are_the_same_in_both_halves_whatever_their_order(tmp_path: Path) -> None:
    added = "def load_data(): return {'b': x[:30], 'a': x[:30, :2]}, y[:30], {'a': x[30:, :2], 'b': x[30:]}, y[30:]"
    data = a_recipe(tmp_path, "classification", added).data
    assert data.names == ("b", "a")
    assert [array.shape for array in data.train] == [(30, 6), (30, 2)]
    assert [array.shape for array in data.test] == [(10, 6), (10, 2)]
    assert data.sha256() != a_recipe(tmp_path, "classification").data.sha256()


def test_inputs_are_brought_into_the_order_of_a_file_by_their_names() -> None:
    tensors = ["serving_default_zoo:0", "serving_default_b:0"]
    assert in_file_order(["B", "Z"], ["b", "zoo"], tensors) == ["Z", "B"]
    assert in_file_order(["B"], ["whatever"], ["x"]) == ["B"]


def test_an_autoencoder_learns_what_preprocess_made(tmp_path: Path) -> None:
    data = a_recipe(tmp_path, "autoencoder", "def preprocess(x): return x / 2").data
    assert np.array_equal(data.y_train, data.x_train)
    assert data.x_train.max() <= 0.5
