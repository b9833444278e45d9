"""The built-in recipes, and how data sets get into Keras' folder, or do not."""

from __future__ import annotations

import dataclasses
import gzip
import re
import struct
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest

from protocol.errors import BadRecipe, FerryError, MissingPart
from publisher.learning.recipe.recipe import built_in_recipes, load_recipe
from publisher.learning.recipe.train_settings import BOUNDS, TrainSettings
from tests.pages import page

Bytes = npt.NDArray[np.uint8]


def images(count: int, seed: int) -> tuple[Bytes, Bytes]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 28, 28), np.uint8), (np.arange(count) % 10).astype(np.uint8)


def idx(array: Bytes) -> bytes:
    """The bytes of an IDX file, as the original data sets have them."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


class Unreachable(ModuleType):
    """A module of `tf_keras.datasets` on a machine without internet."""

    def load_data(self, cache_dir: str) -> None:
        """Fail as Keras does."""
        raise OSError(f"URL fetch failure, and {cache_dir} has no copy")


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keras' folder, empty."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "keras" / "datasets" / "fashion-mnist").mkdir(parents=True)
    return tmp_path / "keras" / "datasets"


def put_mnist(datasets: Path) -> tuple[Bytes, Bytes]:
    (x_train, y_train), (x_test, y_test) = images(40, 1), images(20, 2)
    np.savez(datasets / "mnist.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return x_train, y_train


def put_fashion_mnist(datasets: Path) -> tuple[Bytes, Bytes]:
    (x_train, y_train), (x_test, y_test) = images(40, 3), images(20, 4)
    for name, array in {
        "train-images-idx3": x_train,
        "train-labels-idx1": y_train,
        "t10k-images-idx3": x_test,
        "t10k-labels-idx1": y_test,
    }.items():
        (datasets / "fashion-mnist" / f"{name}-ubyte.gz").write_bytes(gzip.compress(idx(array)))
    return x_train, y_train


def test_every_recipe_that_comes_along_is_named() -> None:
    assert built_in_recipes() == ["digits", "digits_cnn", "fashion_mnist", "mnist"]


def test_the_digits_as_images_are_the_same_handwriting_with_a_student() -> None:
    flat, square = load_recipe("digits"), load_recipe("digits_cnn")
    assert square.data.features == (28, 28, 1)
    assert np.array_equal(square.data.x_test.reshape(497, 784), flat.data.x_test)
    assert flat.build_student is not None
    assert square.build_student is not None


def test_mnist_is_read_from_keras_own_folder(datasets: Path) -> None:
    x_train, y_train = put_mnist(datasets)
    data = load_recipe("mnist").data
    assert (data.features, int(data.y_train.max()) + 1, data.value_range) == ((784,), 10, (0.0, 1.0))
    assert np.array_equal(np.rint(data.x_train * 255).astype(np.uint8), x_train.reshape(40, 784))
    assert np.array_equal(data.y_train, y_train)


def test_fashion_mnist_is_read_from_the_files_of_the_original(datasets: Path) -> None:
    x_train, y_train = put_fashion_mnist(datasets)
    recipe = load_recipe("fashion_mnist")
    assert (recipe.data.features, recipe.labels[9]) == ((28, 28, 1), "ankle boot")
    assert np.array_equal(np.rint(recipe.data.x_train * 255).astype(np.uint8), x_train[..., None])
    assert np.array_equal(recipe.data.y_train, y_train)


@pytest.mark.parametrize(("name", "file"), [("mnist", "mnist.npz"), ("fashion_mnist", "t10k-labels-idx1-ubyte.gz")])
def test_a_data_set_that_is_not_there_and_cannot_be_fetched_says_where_to_put_it(
    name: str, file: str, datasets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"tf_keras.datasets.{name}", Unreachable(name))  # tests/integration fetch for real
    with pytest.raises(MissingPart) as refused:
        load_recipe(name)
    assert re.search(rf"\b{name}\b.*{re.escape(str(datasets))}", refused.value.message)
    assert file in refused.value.hint
    assert "KERAS_HOME" in refused.value.hint


def test_a_damaged_data_set_is_told_by_its_file(datasets: Path) -> None:
    put_mnist(datasets)
    whole = (datasets / "mnist.npz").read_bytes()
    (datasets / "mnist.npz").write_bytes(whole[: len(whole) // 2])
    put_fashion_mnist(datasets)
    (datasets / "fashion-mnist" / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x0d\x01"))
    for name, file in (("mnist", "mnist.npz"), ("fashion_mnist", "t10k-images-idx3-ubyte.gz")):
        with pytest.raises(BadRecipe, match=rf"\b{name}\b.*{re.escape(str(datasets))}") as refused:
            load_recipe(name)
        assert file in refused.value.hint


def test_a_data_set_of_pickles_is_not_opened(datasets: Path) -> None:
    np.savez(datasets / "mnist.npz", x_train=np.array([{}], dtype=object))
    with pytest.raises(FerryError, match="Object arrays"):
        load_recipe("mnist")


def test_the_page_shows_a_recipe_that_loads_and_every_setting(tmp_path: Path) -> None:
    shown = page("docs/RECIPES.md")
    (fence,) = [fence for fence in shown.fences if fence.info == "python recipe.py"]
    (tmp_path / "recipe.py").write_text(fence.text)
    assert load_recipe(tmp_path / "recipe.py").labels == ("calm", "busy")
    for field in dataclasses.fields(TrainSettings):
        low, high = BOUNDS.get(field.name, ("", ""))
        bounds = [f"{bound:g}" if isinstance(bound, float) else str(bound) for bound in (low, high)]
        row = " | ".join([f"`{field.name}`", str(field.default), *bounds])
        assert f"| {' '.join(row.split())} | " in " ".join(shown.text.split()), row
    for name in built_in_recipes():
        assert f"| `{name}` |" in shown.text
