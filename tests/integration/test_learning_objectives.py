"""Networks for every objective are trained, compressed and judged by their task."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import BadRecipe
from publisher.learning.artifacts.build import BuiltVersion, build_from_ladder, build_from_recipe
from publisher.learning.compression.ladder import Ladder
from publisher.learning.compression.ladder_builder import build_recipe_ladder
from publisher.learning.conversion.tflite_converter import to_float32, to_int8
from publisher.learning.data.network_inputs import in_file_order
from publisher.learning.measurement.inspection import inspect
from publisher.learning.recipe.recipe import load_recipe
from publisher.learning.tensorflow_import import load_tf_keras
from tests.integration.tflite_reader import answers

pytestmark = pytest.mark.xdist_group("learning")

RECIPE = """
import numpy as np

task = {task!r}
train_settings = {{"epochs": {epochs}, "batch_size": 16, "learning_rate": 0.02, "seed": 3}}
rng = np.random.default_rng(0)

def load_data():
    {data}
    return x[:200], y[:200], x[200:], y[200:]

def build_model():
    import tf_keras
    layers = tf_keras.layers
    return tf_keras.Sequential([{layers}])

build_student = build_model
"""
TWO_INPUTS = """
import numpy as np

task = "binary"
train_settings = {"epochs": 12, "batch_size": 16, "learning_rate": 0.02, "seed": 3}

def half(samples, seed):
    rng = np.random.default_rng(seed)
    x = {"weather": rng.uniform(0, 1, (samples, 3)), "alpha": rng.uniform(0, 1, (samples, 4, 2))}
    y = x["weather"].mean(axis=1) > x["alpha"].mean(axis=(1, 2))
    return {name: array.astype("float32") for name, array in x.items()}, y

def load_data():
    return *half(200, 1), *half(100, 2)

def build_model():
    import tf_keras
    layers = tf_keras.layers
    alpha, weather = tf_keras.Input((4, 2), name="alpha"), tf_keras.Input((3,), name="weather")
    joined = layers.Concatenate()([layers.Flatten()(alpha), weather])
    return tf_keras.Model([alpha, weather], layers.Dense(1, "sigmoid")(layers.Dense(16, "relu")(joined)))
"""
KINDS = {
    "multi-label": (
        "x = rng.uniform(0, 1, (300, 3)).astype('float32'); y = (x > 0.5).astype(int)",
        "tf_keras.Input((3,)), layers.Dense(16, 'relu'), layers.Dense(3, 'sigmoid')",
    ),
    "segmentation": (
        "x = rng.uniform(0, 1, (300, 6, 8, 1)).astype('float32');"
        " y = (x[..., 0] > 0.4).astype(int) + (x[..., 0] > 0.7)",
        "tf_keras.Input((6, 8, 1)), layers.Conv2D(12, 1, activation='relu'), layers.Conv2D(3, 1, activation='softmax')",
    ),
    "regression": (
        "x = rng.uniform(0, 1, (300, 2)).astype('float32');"
        " y = np.stack([x.sum(axis=1), x[:, 0] * 3 - x[:, 1]], axis=1)",
        "tf_keras.Input((2,)), layers.Dense(16, 'relu'), layers.Dense(2)",
    ),
    "autoencoder": (
        "x = (rng.uniform(0, 1, (300, 2)) @ rng.uniform(0, 1, (2, 8))).astype('float32'); return x[:200], x[200:]",
        "tf_keras.Input((8,)), layers.Dense(4), layers.Dense(8)",
    ),
}
LOOPS = (
    "y = np.arange(300) % 2; x = np.where(y[:, None, None] == 0, 1, -1) * np.linspace(-1, 1, 9)[:, None];"
    " x = (x + rng.normal(0, 0.3, (300, 9, 2))).astype('float32')"
)


def a_ladder(folder: Path, text: str, *rungs: str) -> Ladder:
    path = folder / "kind.py"
    path.write_text(text)
    return build_recipe_ladder(load_recipe(path), rungs)


def golden_of(version: BuiltVersion) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    with np.load(io.BytesIO(version.golden.content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def test_a_network_of_two_inputs_is_trained_and_quantized_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    ladder = a_ladder(tmp_path, TWO_INPUTS, "int8")
    assert {rung.name: rung.accuracy > 0.9 for rung in ladder.rungs} == {"float32": True, "int8": True}
    assert {figures.measure for figures in ladder.figures().values()} == {"balanced accuracy"}
    version = build_from_ladder(ladder, ["float32"])
    golden, shapes = golden_of(version), [tensor.shape[1:] for tensor in version.contract.inputs]
    assert [golden[f"input_{index}"].shape[1:] for index in range(2)] == shapes
    assert version.contract.task is not None
    assert (version.contract.task.name, version.contract.task.form) == ("classification", "sigmoid")


def test_input_layers_of_any_name_are_converted_and_found_again() -> None:
    tf_keras = load_tf_keras()
    size, colour = tf_keras.Input((3,), name="Größe in mm"), tf_keras.Input((4,), name="colour")
    joined = tf_keras.layers.Concatenate()([size, colour])
    network = tf_keras.Model([size, colour], tf_keras.layers.Dense(2)(joined))
    rows = [np.random.default_rng(0).uniform(0, 1, (8, features)).astype("float32") for features in (3, 4)]
    for tflite in (to_float32(network, rows), to_int8(network, rows)):
        taken = inspect(tflite, name="a file").contract.inputs
        ordered = in_file_order([(1, 3), (1, 4)], network.input_names, [tensor.name for tensor in taken])
        assert ordered == [tensor.shape for tensor in taken]


@pytest.mark.slow  # TensorFlow traces each network again
@pytest.mark.parametrize("task", KINDS)
def test_every_objective_has_its_rungs_and_a_student_that_learns_from_its_teacher(task: str, tmp_path: Path) -> None:
    data, layers = KINDS[task]
    ladder = a_ladder(
        tmp_path, RECIPE.format(task=task, data=data, layers=layers, epochs=25), "int8", "pruned-20", "distilled"
    )
    assert ladder.impossible == ()
    assert ladder.parent.accuracy > 0.6
    for rung in ladder.rungs:
        assert rung.accuracy > ladder.parent.accuracy - 0.25, rung
        assert rung.agreement > 0.6, rung
    assert ladder.parent.agreement == pytest.approx(1.0)
    scrambled = build_recipe_ladder(ladder.trained.recipe, ["float32"], scramble_labels=True)
    assert scrambled.parent.accuracy < ladder.parent.accuracy - 0.1


@pytest.mark.slow  # the converter takes seconds for each
@pytest.mark.parametrize("layer", ["LSTM(8)", "GRU(8)", "Bidirectional(layers.LSTM(4))"])
def test_a_recurrent_layer_becomes_a_loop_that_begins_each_sample_anew(layer: str, tmp_path: Path) -> None:
    layers = f"tf_keras.Input((9, 2)), layers.{layer}, layers.Dense(2, 'softmax')"
    text = RECIPE.format(task="classification", data=LOOPS, layers=layers, epochs=4)
    (tmp_path / "loop.py").write_text(text)
    recipe = load_recipe(tmp_path / "loop.py")
    version = build_from_recipe(recipe)  # float32 and int8, were it possible
    assert [variant.name for variant in version.variants] == ["float32"]
    assert any("the converter finds no ranges in loops" in line for line in version.lineage["not_done"])
    assert len(version.variants[0].tflite) < 20_000  # unrolled it is three times as large
    x = recipe.data.x_test[:20]
    both_ways = answers(version.variants[0].tflite, x), answers(version.variants[0].tflite, x[::-1])[::-1]
    assert np.array_equal(*both_ways)


@pytest.mark.slow  # the converter takes seconds for each
def test_pruning_clustering_and_8_bit_weights_know_loops_and_qat_says_that_it_does_not(tmp_path: Path) -> None:
    layers = "tf_keras.Input((9, 2)), layers.LSTM(8), layers.Dense(2, 'softmax')"
    text = RECIPE.format(task="classification", data=LOOPS, layers=layers, epochs=4)
    ladder = a_ladder(tmp_path, text, "dynamic", "float16", "pruned-50", "clustered", "int8", "qat")
    assert [rung.name for rung in ladder.rungs] == ["float32", "dynamic", "float16", "pruned-50", "clustered"]
    reasons = {lost.name: lost.reason for lost in ladder.impossible}
    assert "take dynamic" in reasons["int8"]
    assert "does not know the layer lstm, a LSTM" in reasons["qat"]


@pytest.mark.parametrize(
    ("task", "layers", "said", "hint"),
    [
        (
            "multi-label",
            "tf_keras.Input((3,)), layers.Dense(3)",
            "in kind.py: what the network gives is not between 0 and 1",
            'Dense(3, activation="sigmoid")',
        ),
        (
            "segmentation",
            "tf_keras.Input((6, 8, 1)), layers.Flatten(), layers.Dense(3, 'softmax')",
            "the network gives [3], but masks are [6, 8] of 3 classes",
            'Conv2D(3, 1, activation="softmax")',
        ),
        (
            "regression",
            "tf_keras.Input((2,)), layers.Dense(3)",
            "the network gives [3], but there are 2 values a sample",
            "Dense(2)",
        ),
        (
            "autoencoder",
            "tf_keras.Input((8,)), layers.Dense(7)",
            "the network gives [7], but samples are [8], and an autoencoder gives them again",
            "a layer of the shape [8]",
        ),
    ],
)
def test_a_network_that_does_not_fit_its_task_is_refused_before_training(
    task: str, layers: str, said: str, hint: str, tmp_path: Path
) -> None:
    text = RECIPE.format(task=task, data=KINDS[task][0], layers=layers, epochs=1)
    with pytest.raises(BadRecipe) as refused:
        a_ladder(tmp_path, text)
    assert said in refused.value.message
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("changed", "by", "said"),
    [
        (
            'name="alpha"',
            'name="beta"',
            "the network takes the inputs beta, weather, but load_data() gives weather, alpha",
        ),
        ("Input((4, 2)", "Input((2, 4)", "the network takes [2, 4] as alpha, but load_data() gives samples of [4, 2]"),
    ],
)
def test_inputs_that_are_not_the_networks_are_refused_by_their_names(
    changed: str, by: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(BadRecipe) as refused:
        a_ladder(tmp_path, TWO_INPUTS.replace(changed, by))
    assert said in refused.value.message
