"""Which rungs a release ships: those that are named, or the best within the gates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from publisher.adapters.registry import Registry
from publisher.core.release.gates import Figures, Gates
from publisher.core.release.pareto import Selection, select
from publisher.learning.artifacts.build import build_from_recipe
from publisher.learning.recipe.recipe import load_recipe
from tests.brokers import mosquitto
from tests.integration import keras_files
from tests.integration.publisher_cli import PublisherCli, a_publisher

RECIPE = """
import numpy as np

train_settings = {"epochs": 8, "batch_size": 16, "learning_rate": 0.02}

def load_data():
    draw = np.random.default_rng(1)
    x = draw.uniform(0, 1, (300, 4)).astype("float32")
    y = (x[:, 0] > 0.5).astype("int64")
    return x[:200], y[:200], x[200:], y[200:]

def build_model():
    import tf_keras
    layers = tf_keras.layers
    return tf_keras.Sequential([tf_keras.Input((4,)), layers.Dense(32, "relu"), layers.Dense(2, "softmax")])
"""


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[PublisherCli]:
    with mosquitto() as running:
        yield a_publisher(tmp_path, running.url)


@pytest.fixture(scope="module")
def keras_folder(once_per_run: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    return once_per_run("keras-files", keras_files.make)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "halves.py"
    path.write_text(RECIPE)
    return path


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_auto_ships_what_no_other_rung_beats_and_says_what_it_left_out(publisher: PublisherCli, recipe: Path) -> None:
    ran = publisher.run("release", "halves", "--version", "1.0.0", "--recipe", recipe, "--variants", "auto", "--json")
    shipped = ran.json["variants"]
    assert max(variant["accuracy"] for variant in shipped.values()) > 0.9
    assert len(shipped) < 13  # some are beaten
    with Registry.open(publisher.registry) as registry:
        result = registry.versions.lineage("halves", "1.0.0")["not_done"]
    assert len(shipped) + len(result) == 16
    assert any("student is not possible" in line for line in result)  # the recipe has none
    assert any("is not better than" in line for line in result)
    assert all(line in ran.err for line in result)


def test_of_all_rungs_those_are_made_into_a_version_that_are_chosen(recipe: Path) -> None:
    seen: dict[str, Figures] = {}

    def choose(candidates: Mapping[str, Figures]) -> Selection:
        seen.update(candidates)
        return select(candidates, None, Gates(max_wire_bytes=candidates["int8"].wire_bytes))

    rungs = ("float32", "int8", "student")
    made = build_from_recipe(load_recipe(str(recipe)), variants=rungs, epochs=2, choose=choose)
    assert list(seen) == ["float32", "int8"]
    assert all(figures.accuracy is not None and figures.wire_bytes > 0 for figures in seen.values())
    small = min(seen, key=lambda name: seen[name].wire_bytes)
    assert small in [variant.name for variant in made.variants]
    left_out = [name for name, figures in seen.items() if figures.wire_bytes > seen["int8"].wire_bytes]
    result = made.lineage["not_done"]
    assert result[0].startswith("left out: student is not possible: ")
    assert all(any(f"left out: {name} takes" in line for line in result) for name in left_out)


def test_named_rungs_are_shipped_past_a_gate_only_by_force(publisher: PublisherCli, recipe: Path) -> None:
    order = ("release", "halves", "--version", "1.0.0", "--recipe", recipe, "--epochs", "2")
    named = ("--variants", "float16, float32,float16", "--max-bytes", "100", "--force", "--json")
    forced = publisher.run(*order, *named).json
    assert list(forced["variants"]) == ["float16", "float32"]
    assert "bytes on the wire, over the 100 asked for" in forced["forced"]


def test_a_file_that_is_too_large_or_too_slow_is_refused_with_the_numbers(
    publisher: PublisherCli, flowers: Path
) -> None:
    order = ("release", "flowers", "--version", "1.0.0", "--tflite", flowers)
    refused = publisher.run(*order, "--max-bytes", "100", "--max-latency-ms", "0.000001", expect=6)
    assert "original takes " in refused.err
    assert "bytes on the wire, over the 100 asked for" in refused.err
    assert "ms (p95), over the 1e-06 ms asked for" in refused.err
    assert publisher.run(*order, "--max-bytes", "100000", "--max-latency-ms", "10000", "--json").json["forced"] == ""


@pytest.mark.slow
def test_a_keras_file_is_compressed_as_a_recipe_is(publisher: PublisherCli, keras_folder: Path) -> None:
    order = ("release", "flowers", "--version", "1.0.0", "--keras", keras_folder / "flowers.keras")
    assert "--variants of a Keras file needs --data" in publisher.run(*order, "--variants", "auto", expect=2).err
    data = ("--data", keras_folder / "data.npz")
    names = publisher.folder / "flowers.txt"
    names.write_text("iris\nrose\ntulip\n\n")
    result = publisher.run(*order, *data, "--variants", "float32,pruned-50", "--labels", names, "--json").json
    assert result["labels"] == ["iris", "rose", "tulip"]
    assert list(result["variants"]) == ["float32", "pruned-50"]
    assert all(variant["accuracy"] > 0.6 for variant in result["variants"].values())


def test_a_rung_that_is_none_is_refused_before_anything_is_trained(
    publisher: PublisherCli, recipe: Path, tmp_path: Path
) -> None:
    order = ("release", "halves", "--version", "1.0.0")
    refused = publisher.run(*order, "--recipe", recipe, "--variants", "float32,int9", expect=2)
    assert "there is no rung 'int9'" in refused.err
    assert "training" not in refused.err
    assert "--variants names none" in publisher.run(*order, "--recipe", recipe, "--variants", ",", expect=2).err
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(b"never opened")
    refused = publisher.run(*order, "--tflite", bare, "--variants", "auto", expect=2)
    assert "--variants does not go with --tflite" in refused.err
