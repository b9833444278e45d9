"""A version that continues another keeps its accuracy, tensor names and calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tflite_runtime.interpreter import Interpreter

from protocol.errors import BadInput, BadRecipe, BlobDamaged, FerryError
from publisher.adapters.registry import Registry
from publisher.learning.artifacts.build import BuiltVersion, build_from_recipe
from publisher.learning.data.calibration import KeptCalibration, choose_calibration
from publisher.learning.data.dataset import Data, Floats
from publisher.learning.recipe.network import build_network
from publisher.learning.recipe.recipe import Recipe, load_recipe
from publisher.learning.training.lineage import lineage_of
from publisher.learning.training.train import train
from publisher.learning.training.warm_start import (
    WarmStart,
    calibration_npz,
    put_weights,
    read_calibration,
    weights_npz,
)
from publisher.operations.progress import SilentProgress
from publisher.operations.release.train import Training
from publisher.operations.release.train import train as carry_out
from publisher.operations.release.training_history import (
    describe_new_calibration,
    kept_calibration,
    record_training,
    warm_start,
)
from tests.builders import NOON, a_manifest

pytestmark = pytest.mark.xdist_group("continue")

RECIPE = """
import numpy as np

labels = ["left", "right", "middle"]
train_settings = {"epochs": 12, "batch_size": 16, "learning_rate": 0.02, "seed": 3}

def load_data():
    x = np.random.default_rng(1).uniform(0, 1, (300, 5)).astype("float32")
    y = x[:, :3].argmax(axis=1)
    return x[:220], y[:220], x[220:], y[220:]

def build_model():
    import tf_keras
    layers = tf_keras.layers
    return tf_keras.Sequential(
        [tf_keras.Input((5,)), layers.Dense(UNITS, "relu"), layers.BatchNormalization(), layers.Dense(3, "softmax")]
    )
"""


def a_recipe(folder: Path, units: int = 12) -> Recipe:
    path = folder / "sides.py"
    path.write_text(RECIPE.replace("UNITS", str(units)))
    return load_recipe(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("continue")


@pytest.fixture(scope="module")
def recipe(folder: Path) -> Recipe:
    return a_recipe(folder)


@pytest.fixture(scope="module")
def first(recipe: Recipe) -> BuiltVersion:
    return build_from_recipe(recipe)


@pytest.fixture(scope="module")
def start(first: BuiltVersion) -> WarmStart:
    weights, calibration = first.kept
    return WarmStart("1.0.0", weights, read_calibration(calibration))


@pytest.fixture(scope="module")
def second(recipe: Recipe, start: WarmStart) -> BuiltVersion:
    return build_from_recipe(recipe, start=start)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry.create(tmp_path / "registry") as registry:
        yield registry


def names(tflite: bytes) -> list[tuple[str, tuple[int, ...]]]:
    model = Interpreter(model_content=tflite)
    return [(tensor["name"], tuple(tensor["shape"])) for tensor in model.get_tensor_details()]


def weights(content: bytes, folder: Path) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    path = folder / "weights.npz"
    path.write_bytes(content)
    with np.load(path, allow_pickle=False) as held:
        return [held[name] for name in held.files]


def distance(one: bytes, other: bytes, folder: Path) -> float:
    pairs = zip(weights(one, folder), weights(other, folder), strict=True)
    return float(sum(np.square(ours - theirs).sum() for ours, theirs in pairs))


def test_what_goes_on_knows_from_the_start_what_its_parent_knew(
    recipe: Recipe, first: BuiltVersion, start: WarmStart
) -> None:
    network = build_network(recipe, seed=99)
    put_weights(network, start, "build_model() in sides.py")
    assert weights_npz(network) == first.kept[0]
    right = network.predict(recipe.data.x_test, verbose=0).argmax(axis=1) == recipe.data.y_test
    assert float(right.mean()) == pytest.approx(first.lineage["accuracy"])


def test_a_version_that_goes_on_stays_near_its_parent(
    recipe: Recipe, first: BuiltVersion, second: BuiltVersion, tmp_path: Path
) -> None:
    assert first.accuracy is not None
    assert second.accuracy is not None
    assert second.accuracy >= first.accuracy - 0.05
    assert second.lineage["parent"] == "1.0.0"
    assert second.lineage["settings"]["learning_rate"] == pytest.approx(0.002)
    assert second.lineage["settings"]["epochs"] == 3
    afresh = train(recipe, seed=4)
    near, far = (distance(first.kept[0], other, tmp_path) for other in (second.kept[0], weights_npz(afresh.model)))
    assert 0 < near < 0.1 * far


def test_names_of_tensors_are_the_same_in_every_version(first: BuiltVersion, second: BuiltVersion) -> None:
    for before, after in zip(first.variants, second.variants, strict=True):
        assert (before.name, names(before.tflite)) == (after.name, names(after.tflite))
        assert before.tflite != after.tflite
    contracts = first.contract, second.contract
    unmeasured = [[each.model_copy(update={"spread": ()}) for each in contract.outputs] for contract in contracts]
    assert (contracts[1].inputs, unmeasured[1]) == (contracts[0].inputs, unmeasured[0])


def test_the_calibration_set_is_the_parents_also_when_the_data_has_grown(recipe: Recipe, start: WarmStart) -> None:
    data = recipe.data
    more = Data(
        np.concatenate([data.x_train, data.x_train[:50] * 0.9]),
        np.concatenate([data.y_train, data.y_train[:50]]),
        data.x_test,
        data.y_test,
    )
    grown = replace(recipe, data=more)
    assert start.calibration is not None
    assert np.array_equal(train(grown, epochs=1, start=start).calibration.samples, start.calibration)
    assert not np.array_equal(choose_calibration([more.x_train], None).samples, start.calibration)
    kept = KeptCalibration("1.0.0", start.calibration)
    assert not np.array_equal(choose_calibration([data.x_train * 255], kept).samples, start.calibration)


def test_a_version_that_starts_afresh_keeps_the_set_too_and_says_whose_it_is(recipe: Recipe, start: WarmStart) -> None:
    assert start.calibration is not None
    kept = KeptCalibration("1.0.0", start.calibration)
    other = replace(recipe, data=replace(recipe.data, x_train=recipe.data.x_train[::-1] ** 1.1))
    again = train(other, epochs=1, kept=kept)
    assert choose_calibration([other.data.x_train], None).version is None
    assert (again.calibration.version, again.calibration.redrawn_because) == ("1.0.0", "")
    assert np.array_equal(again.calibration.samples, start.calibration)
    assert lineage_of(again)["calibration_of"] == "1.0.0"


@pytest.mark.parametrize(("x", "what"), [(np.zeros((300, 5)) + np.arange(5), "range"), (np.zeros((300, 4)), "shape")])
def test_inputs_that_changed_draw_the_set_anew_and_the_reason_is_kept(x: Floats, what: str, start: WarmStart) -> None:
    assert start.calibration is not None
    drawn = choose_calibration([x.astype(np.float32)], KeptCalibration("1.0.0", start.calibration))
    assert (drawn.version, drawn.redrawn_because) == (None, f"its samples have another {what} than those of 1.0.0")
    lines = list(describe_new_calibration({"calibration_anew": drawn.redrawn_because}))
    assert lines == [f"a new calibration set is drawn: {drawn.redrawn_because}"]


def test_the_last_version_that_has_a_set_hands_it_on_with_the_name_of_whose_it_is(
    registry: Registry, first: BuiltVersion
) -> None:
    assert kept_calibration(registry, "digits") is None
    released(registry, first, calibration_of="0.9.0")
    registry.versions.add(a_manifest("1.1.0"), {"source": "tflite", "file": "bought.tflite"}, NOON)
    found = kept_calibration(registry, "digits")
    assert found is not None
    assert (found.version, calibration_npz(found.samples)) == ("0.9.0", first.kept[1])


def test_another_network_cannot_go_on_and_says_what_differs(tmp_path: Path, start: WarmStart) -> None:
    with pytest.raises(BadRecipe) as refused:
        train(a_recipe(tmp_path, units=7), start=start)
    assert "dense/kernel:0 has shape [5, 7], in version 1.0.0 it has [5, 12]" in refused.value.message
    assert "leave out --from" in refused.value.hint


def released(registry: Registry, made: BuiltVersion, **changes: str) -> None:
    for kept in made.kept:
        registry.blobs.add_bytes(kept)
    registry.versions.add(a_manifest("1.0.0"), {**made.lineage, **changes}, NOON)


def test_a_start_is_found_in_the_registry_and_its_files_are_no_orphans(
    registry: Registry, first: BuiltVersion, start: WarmStart
) -> None:
    released(registry, first)
    found = warm_start(registry, "digits", "1.0.0", "sides")
    assert (found.version, found.weights) == ("1.0.0", start.weights)
    assert found.calibration is not None
    assert calibration_npz(found.calibration) == first.kept[1]
    assert registry.orphans() == []


def other_recipe(registry: Registry, made: BuiltVersion) -> None:
    released(registry, made, recipe="others")


def a_file(registry: Registry, made: BuiltVersion) -> None:
    released(registry, made, source="tflite", file="bought.tflite")


def lost(registry: Registry, made: BuiltVersion) -> None:
    released(registry, made)
    registry.discard_blob(made.lineage["weights_sha256"])


def damaged(registry: Registry, made: BuiltVersion) -> None:
    released(registry, made)
    registry.blobs.path(made.lineage["calibration_sha256"]).write_bytes(b"something else")


@pytest.mark.parametrize(
    ("put", "kind", "said"),
    [
        (other_recipe, BadInput, "digits 1.0.0 was trained from the recipe others, not from sides"),
        (a_file, BadInput, "digits 1.0.0 was made from the file bought.tflite, not trained from a recipe"),
        (lost, BadInput, "the weights of digits 1.0.0 are not in the registry"),
        (damaged, BlobDamaged, "have changed"),
    ],
)
def test_what_cannot_be_gone_on_from_is_said(
    put: Callable[[Registry, BuiltVersion], None],
    kind: type[FerryError],
    said: str,
    registry: Registry,
    first: BuiltVersion,
) -> None:
    put(registry, first)
    with pytest.raises(kind) as refused:
        warm_start(registry, "digits", "1.0.0", "sides")
    assert said in refused.value.message
    assert refused.value.hint


def test_one_seed_twice_is_remembered_as_the_same(
    folder: Path, first: BuiltVersion, registry: Registry, tmp_path: Path
) -> None:
    recipe = a_recipe(folder).path
    once, repetition = record_training(registry, "sides", first, NOON)
    assert (once.number, repetition) == (1, None)
    again = carry_out("sides", Training(str(recipe)), tmp_path / "again", SilentProgress(), registry)
    assert again.repetition is not None
    assert (again.repetition.number, again.repetition.same_bytes) == (1, True)
    assert again.metrics["accuracy"] == first.accuracy
    kept = registry.trainings.of_model("sides")
    assert [record.number for record in kept] == [1, 2]
    assert kept[0].lineage["recipe_sha256"] == load_recipe(recipe).sha256
    assert {"data_sha256", "versions", "settings", "history", "accuracy"} <= kept[0].lineage.keys()
    assert sorted(kept[0].files) == ["float32", "int8"]
