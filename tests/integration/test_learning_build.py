"""From a recipe to a measured version: training, conversion, the device's runtime."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tflite_runtime.interpreter import Interpreter

from protocol.errors import BadInput, BadRecipe
from protocol.messages.manifest import GOLDEN_MAX_BYTES
from publisher.learning.artifacts.build import BuiltVariant, BuiltVersion, build_from_recipe, build_from_tflite
from publisher.learning.recipe.recipe import Recipe, load_recipe
from publisher.learning.training.lineage import lineage_of
from publisher.learning.training.train import train

pytestmark = pytest.mark.xdist_group("learning")  # digits are trained once, not once a worker

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_recipe.py"
NETWORK = """
def build_model():
    import tf_keras
    return tf_keras.Sequential([tf_keras.Input((784,)), {layers}])
"""
SMALL = 'tf_keras.layers.Dense(16, "relu"), tf_keras.layers.Dense(10, "softmax")'

SUBCLASSED = """
def build_model():
    import tf_keras
    class Own(tf_keras.Model):
        def __init__(self):
            super().__init__()
            self.last = tf_keras.layers.Dense(10, "softmax")
        def call(self, x):
            return self.last(x)
    return Own()
"""
ERFINV = "lambda x: __import__('tensorflow').math.erfinv(x / 2)"


@pytest.fixture(scope="module")
def digits() -> Recipe:
    return load_recipe("digits")


@pytest.fixture(scope="module")
def told() -> list[tuple[int, int, str]]:
    return []


@pytest.fixture(scope="module")
def made(digits: Recipe, told: list[tuple[int, int, str]]) -> BuiltVersion:
    return build_from_recipe(digits, on_progress=lambda done, total, what: told.append((done, total, what)))


def variant(made: BuiltVersion, name: str) -> BuiltVariant:
    return next(variant for variant in made.variants if variant.name == name)


def answers(tflite: bytes, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(samples, 784) to (samples, 10), as an application on a device would ask."""
    model = Interpreter(model_content=tflite)
    model.allocate_tensors()
    given = []
    for sample in x:
        model.set_tensor(model.get_input_details()[0]["index"], sample[None])
        model.invoke()
        given.append(model.get_tensor(model.get_output_details()[0]["index"])[0])
    return np.array(given)


def a_digits_recipe(folder: Path, *, build_model: str) -> Recipe:
    """The digits' data under another network."""
    path = folder / "other.py"
    path.write_text(f"from publisher.recipes.digits import *\n{build_model}\n")
    return load_recipe(path)


def test_digits_reach_their_accuracy_in_both_variants(made: BuiltVersion, digits: Recipe) -> None:
    float32, int8 = variant(made, "float32"), variant(made, "int8")
    assert made.accuracy is not None
    assert made.accuracy >= 0.97
    for each in (float32, int8):
        assert each.measured.accuracy is not None
        right = answers(each.tflite, digits.data.x_test).argmax(axis=1) == digits.data.y_test
        assert each.measured.accuracy == pytest.approx(right.mean())
        assert each.measured.accuracy_samples == 497
        assert each.measured.accuracy >= made.accuracy - 0.01
    assert int8.measured.agreement is not None
    assert int8.measured.agreement > 0.95
    assert len(int8.tflite) <= 0.28 * len(float32.tflite)


def test_every_variant_is_measured_in_time_and_memory(made: BuiltVersion) -> None:
    for each in made.variants:
        assert each.measured.latency_ms_p50 is not None
        assert each.measured.latency_ms_p95 is not None
        assert 0 < each.measured.latency_ms_p50 <= each.measured.latency_ms_p95
        assert each.requires.memory_bytes > 0
    assert [(each.name, each.precision) for each in made.variants] == [("float32", "float32"), ("int8", "int8")]


def test_quantization_is_the_runtimes_business(made: BuiltVersion) -> None:
    (taken,), (given,) = made.contract.inputs, made.contract.outputs
    assert (taken.shape, taken.dtype, taken.value_min, taken.value_max) == ((1, 784), "float32", 0.0, 1.0)
    assert (given.shape, given.dtype) == ((1, 10), "float32")
    inside = Interpreter(model_content=variant(made, "int8").tflite)
    kinds = {tensor["name"]: tensor["dtype"] for tensor in inside.get_tensor_details() if len(tensor["shape"]) == 2}
    assert sum(kind is np.float32 for kind in kinds.values()) == 2  # its input and its output alone


def test_the_golden_set_is_reproduced_by_the_runtime_within_tolerance(made: BuiltVersion, digits: Recipe) -> None:
    golden = np.load(io.BytesIO(made.golden.content), allow_pickle=False)
    assert sorted(golden.files) == ["float32_output_0", "input_0", "int8_output_0"]
    assert golden["input_0"].shape == (made.golden.samples, 784) == (32, 784)
    assert len(made.golden.content) <= GOLDEN_MAX_BYTES
    for each in made.variants:
        expected = golden[f"{each.name}_output_0"]
        assert expected.shape == (32, 10)
        assert np.abs(answers(each.tflite, golden["input_0"]) - expected).max() <= each.tolerance
        assert np.abs(answers(each.tflite, golden["input_0"][::-1]) - expected).max() > each.tolerance
    held_back = {sample.tobytes(): label for sample, label in zip(digits.data.x_test, digits.data.y_test, strict=True)}
    assert {held_back[sample.tobytes()] for sample in golden["input_0"]} == set(range(10))


def test_tolerances_are_narrow_for_floats_and_a_few_steps_for_integers(made: BuiltVersion) -> None:
    assert variant(made, "float32").tolerance == pytest.approx(0.001, rel=0.1)
    assert 2 / 256 <= variant(made, "int8").tolerance <= 0.2


def test_progress_counts_up_to_all_and_says_what_is_done(made: BuiltVersion, told: list[tuple[int, int, str]]) -> None:
    assert made.variants
    dones = [done for done, _, _ in told]
    assert dones == sorted(dones)
    totals = [total for _, total, _ in told]
    assert totals == sorted(totals)  # the rungs are counted once the network is known
    assert totals[-1] == 25
    assert told[-1][0] == 25
    said = " / ".join(what for _, _, what in told)
    assert "epoch 20 of 20" in said
    assert "converting to int8" in said


def test_lineage_is_plain_json_that_traces_the_version(made: BuiltVersion, digits: Recipe) -> None:
    lineage = json.loads(json.dumps(made.lineage))
    assert lineage["recipe_sha256"] == digits.sha256
    assert lineage["data_sha256"] == digits.data.sha256()
    assert lineage["settings"]["epochs"] == len(lineage["history"]) == 20
    assert {"python", "tensorflow", "tf-keras", "tflite-runtime"} <= lineage["versions"].keys()


@pytest.mark.slow
def test_one_seed_gives_one_version_byte_for_byte(digits: Recipe) -> None:
    first, again = (build_from_recipe(digits, epochs=1, seed=5) for _ in range(2))
    for before, after in zip(first.variants, again.variants, strict=True):
        assert before.tflite == after.tflite
    assert first.golden.content == again.golden.content
    other = build_from_recipe(digits, epochs=1, seed=6)
    assert other.variants[0].tflite != first.variants[0].tflite
    first.contract.check_successor(other.contract)  # the spread of outputs differs


def test_scrambled_labels_make_a_poor_model(digits: Recipe) -> None:
    poor = train(digits, epochs=3, scramble_labels=True)
    assert poor.accuracy < 0.3
    assert lineage_of(poor)["settings"]["scramble_labels"] is True


@pytest.mark.parametrize(
    ("build_model", "said", "hint"),
    [
        ("def build_model(): pass", "gave a NoneType, not a tf_keras.Model", "return model"),
        ("def build_model(): return 1 / 0", "build_model() failed in other.py, line 2: ZeroDivisionError", "line 2"),
        (
            "def build_model():\n    import keras\n    return keras.Sequential()",
            "gave a Keras 3 model, not a tf_keras.Model",
            "import tf_keras, not keras",
        ),
        (
            NETWORK.replace("784", "64").format(layers=SMALL),
            "the network takes [64], but load_data() gives samples of [784]",
            "tf_keras.Input(shape=(784,))",
        ),
        (
            NETWORK.format(layers=SMALL.replace("10", "7")),
            "the network gives [7], but there are 10 classes",
            "Dense(10",
        ),
        (NETWORK.format(layers=SMALL.replace('10, "softmax"', "10")), "are no probabilities", "softmax"),
        (
            NETWORK.format(layers='tf_keras.layers.Dense(10, "softmax", trainable=False)'),
            "the network has no weights to train",
            "trainable = True",
        ),
        (
            NETWORK.replace("Input((784,))", "Input((784,), batch_size=1)").format(layers=SMALL),
            "build_model() in other.py: the network takes 1 samples at a time",
            "begin it with tf_keras.Input(shape=(784,))",
        ),
        (SUBCLASSED, "build_model() in other.py gave a Own, which is a subclassed model", "tf_keras.Model(inputs, out"),
        (
            NETWORK.format(layers=f"tf_keras.layers.Lambda({ERFINV}), {SMALL}"),
            "build_model() in other.py: the network needs Erfinv, which TensorFlow Lite does not have",
            "other operations",
        ),
        (
            NETWORK.format(layers='tf_keras.layers.Dense(10, "softmax", dtype="float64")'),
            "build_model() in other.py: the network computes in float64 (MatMul, ",
            "keep it in float32",
        ),
    ],
)
def test_a_network_that_cannot_learn_this_is_refused_before_training(
    build_model: str, said: str, hint: str, tmp_path: Path
) -> None:
    told: list[tuple[int, int, str]] = []
    recipe = a_digits_recipe(tmp_path, build_model=build_model)
    with pytest.raises(BadRecipe) as refused:
        train(recipe, on_progress=lambda done, total, what: told.append((done, total, what)))
    assert said in refused.value.message
    assert hint in refused.value.hint
    assert "\n" not in str(refused.value)
    assert told == [(0, 20, "preparing to train")]


def test_training_that_diverges_is_told(tmp_path: Path) -> None:
    root_of_zero = "lambda x: __import__('tensorflow').sqrt(abs(x))"  # its slope there is infinite
    network = NETWORK.format(layers=SMALL.replace(", tf", f", tf_keras.layers.Lambda({root_of_zero}), tf", 1))
    with pytest.raises(BadRecipe) as refused:
        train(a_digits_recipe(tmp_path, build_model=network))
    assert "training other.py diverged in epoch 1: its weights or its loss are no numbers" in refused.value.message
    assert "lower learning_rate in train_settings (it is 0.001)" in refused.value.hint


def test_a_network_without_an_input_layer_is_built_from_the_data(tmp_path: Path) -> None:
    network = NETWORK.format(layers=SMALL).replace("tf_keras.Input((784,)), ", "")
    trained = train(a_digits_recipe(tmp_path, build_model=network), epochs=1)
    assert trained.model.input_shape == (None, 784)


def test_the_example_recipe_becomes_a_version() -> None:
    made = build_from_recipe(load_recipe(EXAMPLE), variants=["float32"])
    assert made.labels == ("north", "middle", "south")
    assert made.contract.inputs[0].shape == (1, 13)
    assert made.accuracy is not None
    assert made.accuracy > 0.9


def test_a_file_that_was_brought_along_is_one_variant(made: BuiltVersion, tmp_path: Path) -> None:
    path = tmp_path / "brought.tflite"
    path.write_bytes(variant(made, "int8").tflite)
    brought, again = build_from_tflite(path), build_from_tflite(path)
    (only,) = brought.variants
    assert (only.name, only.precision, only.tflite) == ("original", "int8", path.read_bytes())
    assert (brought.accuracy, only.measured.accuracy) == (None, None)
    assert only.measured.latency_ms_p50 is not None
    assert brought.golden.content == again.golden.content
    golden = np.load(io.BytesIO(brought.golden.content), allow_pickle=False)
    assert (golden["input_0"].shape, golden["original_output_0"].shape) == ((32, 784), (32, 10))


def test_data_beside_a_file_measures_its_accuracy(made: BuiltVersion, digits: Recipe, tmp_path: Path) -> None:
    path, data = tmp_path / "brought.tflite", tmp_path / "data.npz"
    path.write_bytes(variant(made, "float32").tflite)
    np.savez(data, x=digits.data.x_test, y=digits.data.y_test)
    brought = build_from_tflite(path, data=data, labels=digits.labels)
    assert brought.accuracy == made.accuracy
    assert brought.contract.inputs[0].value_max == 1.0
    assert brought.lineage["file"] == "brought.tflite"


def bad_data(folder: Path, name: str) -> Path:
    x, y = np.zeros((4, 784), np.float32), np.zeros(4, np.int64)
    path = folder / "data.npz"
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "no x": {"images": x},
        "shape": {"x": x[:, :700]},
        "class": {"x": x, "y": y + 10},
        "labels": {"x": x, "y": y[:3]},
        "pickled": {"x": np.array([{}, {}], dtype=object)},
    }.get(name, {})  # type: ignore[assignment] # a table of tables, by the name of the break
    np.savez(path, **arrays)
    if name == "no npz":
        path.write_bytes(b"x,y\n1,2\n")
    return path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no x", "data.npz has no array x; it has images"),
        ("shape", "samples of x have shape [700], the model takes [784]"),
        ("class", "the true class 10 is not between 0 and 9"),
        ("labels", "y has 3 truths for 4 samples"),
        ("pickled", "data.npz is no .npz of plain arrays"),
        ("no npz", "data.npz is no .npz of plain arrays"),
    ],
)
def test_data_that_does_not_belong_to_the_file_is_refused(
    name: str, said: str, made: BuiltVersion, tmp_path: Path
) -> None:
    path = tmp_path / "brought.tflite"
    path.write_bytes(variant(made, "float32").tflite)
    with pytest.raises(BadInput) as refused:
        build_from_tflite(path, data=bad_data(tmp_path, name))
    assert said in refused.value.message
    assert refused.value.hint


def test_labels_that_do_not_fit_the_file_are_refused(made: BuiltVersion, tmp_path: Path) -> None:
    path = tmp_path / "brought.tflite"
    path.write_bytes(variant(made, "float32").tflite)
    with pytest.raises(BadInput, match="2 labels for a model that gives 10 classes"):
        build_from_tflite(path, labels=["a", "b"])
