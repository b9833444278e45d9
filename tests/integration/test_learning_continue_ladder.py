"""`--from` and the ladder: zeros, clusters and scales of integers are kept."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tflite_runtime.interpreter import Interpreter

from protocol.errors import BadInput, BadRecipe
from publisher.adapters.registry import Registry
from publisher.learning.artifacts.build import BuiltVersion, build_from_recipe
from publisher.learning.compression.qat import make_quantization_aware
from publisher.learning.recipe.network import build_network
from publisher.learning.recipe.recipe import Recipe, load_recipe
from publisher.learning.training.fine_tune import predict
from publisher.learning.training.warm_start import WarmStart, put_weights, read_calibration, weights_npz
from publisher.operations.release.training_history import describe_new_networks, warm_start
from tests.builders import NOON, a_manifest
from tests.integration.tflite_reader import answers, weights

pytestmark = [pytest.mark.xdist_group("continue"), pytest.mark.slow]

RECIPE = """
import numpy as np

train_settings = {"epochs": 8, "batch_size": 64, "learning_rate": 0.003, "seed": 3}

def load_data():
    from sklearn.datasets import load_digits
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    return x[:1200], y[:1200], x[1200:], y[1200:]

def net(units):
    import tf_keras
    layers = tf_keras.layers
    return tf_keras.Sequential([tf_keras.Input((64,)), layers.Dense(units, "relu"), layers.Dense(10, "softmax")])

def build_model():
    return net(48)

def build_student():
    return net(STUDENT)
"""
FIRST = ["pruned-80-int8", "pruned-clustered-qat", "distilled"]
SECOND = [*FIRST, "student"]
ZEROS = {"pruned-80": "pruned-80-int8", "pruned-80-clustered-qat": "pruned-clustered-qat"}

Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]


def a_recipe(folder: Path, student: int = 12) -> Recipe:
    path = folder / "handwriting.py"
    path.write_text(RECIPE.replace("STUDENT", str(student)))
    return load_recipe(path)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return a_recipe(tmp_path_factory.mktemp("handwriting"))


@pytest.fixture(scope="module")
def first(recipe: Recipe) -> BuiltVersion:
    return build_from_recipe(recipe, variants=FIRST)


@pytest.fixture(scope="module")
def start(first: BuiltVersion) -> WarmStart:
    parent, calibration, *_ = first.kept
    return WarmStart("1.0.0", parent, read_calibration(calibration), networks(first))


@pytest.fixture(scope="module")
def second(recipe: Recipe, start: WarmStart) -> BuiltVersion:
    return build_from_recipe(recipe, variants=SECOND, start=start)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry.create(tmp_path / "registry") as registry:
        yield registry


def networks(made: BuiltVersion) -> dict[str, bytes]:
    """The kept networks, by the name of their stage."""
    return dict(zip(made.lineage["networks_sha256"], made.kept[2:], strict=True))


def kernels(npz: bytes) -> Arrays:
    with np.load(io.BytesIO(npz), allow_pickle=False) as held:
        return {name: held[name] for name in held.files if held[name].ndim > 1}


def tflite(made: BuiltVersion, name: str) -> bytes:
    return next(variant.tflite for variant in made.variants if variant.name == name)


def accuracy(made: BuiltVersion, name: str) -> float:
    found = next(variant.measured.accuracy for variant in made.variants if variant.name == name)
    assert found is not None
    return found


def scales(content: bytes) -> dict[str, list[float]]:
    """Of the kernels in integers, by name."""
    model = Interpreter(model_content=content)
    return {
        tensor["name"]: tensor["quantization_parameters"]["scales"].tolist()
        for tensor in model.get_tensor_details()
        if np.dtype(tensor["dtype"]).name == "int8" and len(tensor["shape"]) == 2 and tensor["shape"][0] > 1
    }


def test_each_network_that_was_released_is_kept_beside_its_version(first: BuiltVersion) -> None:
    assert list(networks(first)) == ["pruned-80", "pruned-80-clustered-qat", "distilled"]
    assert "continued" not in first.lineage  # it went on from nothing


def test_what_was_pruned_stays_pruned_in_the_network_and_in_the_file(first: BuiltVersion, second: BuiltVersion) -> None:
    for stage, variant in ZEROS.items():
        before, after = kernels(networks(first)[stage]), kernels(networks(second)[stage])
        assert list(before) == list(after)
        for name, kernel in before.items():
            assert (kernel == 0).mean() >= 0.79
            assert (after[name][kernel == 0] == 0).all(), (stage, name)
        files = zip(weights(tflite(first, variant)), weights(tflite(second, variant)), strict=True)
        assert all((now[then == 0] == 0).mean() >= 0.95 for then, now in files)  # zeros of small weights come and go
        assert tflite(first, variant) != tflite(second, variant)


def test_weights_that_were_one_value_stay_one(first: BuiltVersion, second: BuiltVersion) -> None:
    before, after = (kernels(networks(made)["pruned-80-clustered-qat"]) for made in (first, second))
    for name, kernel in before.items():
        values = np.unique(kernel)
        assert len(values) <= 16
        assert all(len(np.unique(after[name][kernel == value])) == 1 for value in values)


def test_a_network_that_knows_its_integers_goes_on_with_their_scale(first: BuiltVersion, second: BuiltVersion) -> None:
    before, after = (scales(tflite(made, "pruned-clustered-qat")) for made in (first, second))
    assert len(before) == 2
    assert after == {name: pytest.approx(scale) for name, scale in before.items()}


def test_what_goes_on_is_no_worse_and_nearer_to_what_devices_have(
    first: BuiltVersion, second: BuiltVersion, recipe: Recipe
) -> None:
    for name in FIRST:
        assert accuracy(second, name) >= accuracy(first, name) - 0.05
        agreeing = [answers(tflite(made, name), recipe.data.x_test[:200]).argmax(axis=1) for made in (first, second)]
        assert (agreeing[0] == agreeing[1]).mean() >= 0.9


def test_a_kept_network_is_the_released_one(recipe: Recipe, start: WarmStart, first: BuiltVersion) -> None:
    network = make_quantization_aware(build_network(recipe, seed=99))
    put_weights(network, start, "build_model()", "pruned-80-clustered-qat")
    assert weights_npz(network) == start.networks["pruned-80-clustered-qat"]
    x = recipe.data.x_test[:100]
    given, released = predict(network, [x]), answers(tflite(first, "pruned-clustered-qat"), x)
    assert (given.argmax(axis=1) == released.argmax(axis=1)).mean() >= 0.98


def test_the_lineage_says_what_each_variant_goes_on_from(second: BuiltVersion) -> None:
    assert second.lineage["continued"] == {
        "pruned-80-int8": "pruned-80 of 1.0.0, its zeros kept",
        "pruned-clustered-qat": (
            "pruned-80-clustered-qat of 1.0.0, its zeros, its clusters and its integer ranges kept"
        ),
        "distilled": "distilled of 1.0.0",
        "student": "nothing; made anew: 1.0.0 has no student to go on from",
    }
    assert list(describe_new_networks(second.lineage)) == [
        "student goes on from nothing; made anew: 1.0.0 has no student to go on from"
    ]


def test_another_student_cannot_go_on_and_says_so_before_anything_is_trained(tmp_path: Path, start: WarmStart) -> None:
    told: list[str] = []
    with pytest.raises(BadRecipe) as refused:
        build_from_recipe(
            a_recipe(tmp_path, student=7),
            variants=["distilled-int8"],
            start=start,
            on_progress=lambda _done, _total, what: told.append(what),
        )
    assert "build_student() in handwriting.py: dense/kernel:0 has shape [64, 7]" in refused.value.message
    assert "in distilled of version 1.0.0 it has [64, 12]" in refused.value.message
    assert "leave out --from" in refused.value.hint
    assert told == []


def test_kept_networks_are_found_again_and_are_no_orphans(
    registry: Registry, first: BuiltVersion, start: WarmStart
) -> None:
    for kept in first.kept:
        registry.blobs.add_bytes(kept)
    registry.versions.add(a_manifest("1.0.0"), first.lineage, NOON)
    assert warm_start(registry, "digits", "1.0.0", "handwriting").networks == start.networks
    assert registry.orphans() == []
    registry.discard_blob(first.lineage["networks_sha256"]["pruned-80"])
    with pytest.raises(BadInput, match=r"the weights of pruned-80 of digits 1\.0\.0 are not in the registry"):
        warm_start(registry, "digits", "1.0.0", "handwriting")
    registry.versions.remove("digits", "1.0.0")
    assert set(first.lineage["networks_sha256"].values()) & set(registry.orphans())
