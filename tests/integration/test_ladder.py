"""The ladder of a small network: every rung runs, a failed one stops no other."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import BadInput
from publisher.learning.artifacts.build import build_from_ladder, build_from_recipe
from publisher.learning.compression.ladder import Ladder
from publisher.learning.compression.ladder_builder import build_ladder, build_recipe_ladder, count_steps
from publisher.learning.compression.ladder_record import FolderRecord
from publisher.learning.compression.training_work import affordable, multiplications
from publisher.learning.progress import Steps
from publisher.learning.recipe.recipe import Recipe, load_recipe
from publisher.learning.training.train import TrainingResult, train
from publisher.learning.variants.rung import ImpossibleRung, Rung
from publisher.learning.variants.schedule import Schedule
from publisher.learning.variants.variant_spec import PARENT
from publisher.operations.progress import SilentProgress
from publisher.operations.release.compress import Compression, compress
from tests.integration.tflite_reader import answers, edges, weights

pytestmark = pytest.mark.xdist_group("learning")

RECIPE = """
import numpy as np

train_settings = {{"epochs": {epochs}, "batch_size": 16, "learning_rate": 0.01, "seed": 3}}

def load_data():
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3
    x = (np.eye(3)[y].repeat(4, axis=1) + rng.normal(0, 0.3, (300, 12))).astype("float32")
    return x[:200], y[:200], x[200:], y[200:]

def build_model():
    import tf_keras
    layers = tf_keras.layers
    return tf_keras.Sequential([tf_keras.Input((12,)), {layers} layers.Dense(3, "softmax")])
"""
STUDENT = """
def build_student():
    import tf_keras
    return tf_keras.Sequential([tf_keras.Input((12,)), tf_keras.layers.Dense(3, "softmax")])
"""
DENSE = 'layers.Dense(128, "relu"),'
IMAGES = """layers.Reshape((2, 2, 3)), layers.Conv2D(64, 2, padding="same"), layers.ReLU(), layers.Flatten(),"""
STRANGE = f"{DENSE} layers.LayerNormalization(name='even'),"


def a_recipe(folder: Path, *, layers: str = DENSE, student: str = STUDENT, epochs: int = 4) -> Recipe:
    path = folder / "blobs.py"
    path.write_text(RECIPE.format(layers=layers, epochs=epochs) + student)
    return load_recipe(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return train(a_recipe(tmp_path_factory.mktemp("blobs")))


@pytest.fixture(scope="module")
def ladder(trained: TrainingResult) -> Ladder:
    names = ["float16", "dynamic", "int8", "qat", "pruned-80", "pruned-clustered-qat", "distilled-int8"]
    return build_ladder(trained, names)


def test_every_rung_is_a_file_that_a_device_runs_as_well_as_is_told(ladder: Ladder) -> None:
    assert (len(ladder.rungs), ladder.impossible) == (8, ())
    data = ladder.trained.recipe.data
    parent = answers(ladder.parent.tflite, data.x_test).argmax(axis=1)
    for rung in ladder.rungs:
        assert edges(rung.tflite) == ["float32", "float32"], rung.name
        given = answers(rung.tflite, data.x_test).argmax(axis=1)
        assert rung.accuracy == pytest.approx((given == data.y_test).mean())
        assert rung.accuracy_change == pytest.approx((given == data.y_test).mean() - (parent == data.y_test).mean())
        assert rung.agreement == pytest.approx((given == parent).mean())
        assert rung.accuracy_low < rung.accuracy <= rung.accuracy_high
        assert 0 < rung.latency_ms_p50 <= rung.latency_ms_p95
        assert 0 < rung.memory_bytes <= rung.memory_peak_bytes
        assert 0 < rung.wire_bytes <= rung.file_bytes


def test_each_rung_computes_in_what_its_name_says(ladder: Ladder) -> None:
    told = {rung.name: rung.precision for rung in ladder.rungs}
    assert told == {
        "float32": "float32", "float16": "float16", "dynamic": "dynamic-range", "int8": "int8", "qat": "int8",
        "pruned-80": "float32", "pruned-clustered-qat": "int8", "distilled-int8": "int8",
    }  # fmt: skip


def test_pruned_weights_are_zero_in_the_file_and_stay_so_through_clusters_and_integers(ladder: Ladder) -> None:
    for name in ("pruned-80", "pruned-clustered-qat"):
        rung = ladder.rung(name)
        kernels = weights(rung.tflite)
        zeros = sum(int((kernel == 0).sum()) for kernel in kernels)
        assert rung.sparsity == pytest.approx(zeros / sum(kernel.size for kernel in kernels))
        assert rung.sparsity >= 0.79
    assert ladder.parent.sparsity < 0.01
    assert all(len(np.unique(kernel)) <= 17 for kernel in weights(ladder.rung("pruned-clustered-qat").tflite))


@pytest.mark.slow
def test_a_convolution_before_a_relu_layer_keeps_its_zeros_and_clusters_too(tmp_path: Path) -> None:
    made = build_recipe_ladder(a_recipe(tmp_path, layers=IMAGES, student=""), ["pruned-80-qat", "pruned-clustered-qat"])
    assert made.impossible == ()
    pruned, clustered = (weights(made.rung(name).tflite) for name in ("pruned-80-qat", "pruned-clustered-qat"))
    assert [kernel.ndim for kernel in pruned] == [4, 2]
    assert all((kernel == 0).mean() >= 0.79 for kernel in (*pruned, *clustered))
    assert all(len(np.unique(channel)) <= 17 for kernel in clustered for channel in kernel)


class StoppedError(Exception):
    """Stands for the moment at which a process ends."""


@pytest.mark.slow
def test_a_ladder_that_was_stopped_goes_on_and_gives_the_same_files(tmp_path: Path) -> None:
    recipe, names = a_recipe(tmp_path, epochs=2), ["qat", "pruned-80", "pruned-80-int8", "distilled"]
    record = FolderRecord(tmp_path / "unfinished")
    record.begin({"the data": "1"})
    sofar: list[Ladder] = []

    def stop_after_pruned(ladder: Ladder, made: Rung | ImpossibleRung) -> None:
        sofar.append(ladder)
        if made.name == "pruned-80":
            raise StoppedError

    with pytest.raises(StoppedError):
        build_recipe_ladder(recipe, names, record=record, on_rung=stop_after_pruned)
    assert [rung.name for rung in sofar[-1].rungs] == [PARENT, "qat", "pruned-80"]
    assert sofar[-1].facts()["unfinished"] == ["pruned-80-int8", "distilled"]
    left_s = sofar[0].left_s
    assert left_s is not None
    assert left_s > 0
    (tmp_path / "unfinished" / "qat.tflite").write_bytes(b"damaged")
    record.begin({"the data": "1"})
    made_now: list[str] = []
    resumed = build_recipe_ladder(
        recipe, names, record=record, on_rung=lambda _ladder, made: made_now.append(made.name)
    )
    assert made_now == [PARENT, "qat", "pruned-80-int8", "distilled"]  # the parent is told, not made
    fresh = build_recipe_ladder(recipe, names)
    assert [rung.tflite for rung in resumed.rungs] == [rung.tflite for rung in fresh.rungs]
    assert [rung.agreement for rung in resumed.rungs] == [rung.agreement for rung in fresh.rungs]
    assert resumed.kept(names) == fresh.kept(names)
    assert resumed.facts().keys() == fresh.facts().keys()
    assert record.begin({"the data": "2"}) == "the data"
    assert list(record) == ["inputs.json"]


class StoppingProgress(SilentProgress):
    """Ends a ladder as a user does, after its first rung."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def report(self, text: str) -> None:
        self.told.append(text)
        if "more to make" in text:
            raise KeyboardInterrupt


def test_epochs_that_are_given_start_a_ladder_over_even_if_they_are_the_recipes_own(tmp_path: Path) -> None:
    recipe = a_recipe(tmp_path, student="", epochs=2)

    def stopped(epochs: int | None) -> str:
        progress = StoppingProgress()
        with pytest.raises(KeyboardInterrupt):
            compress(Compression(str(recipe.path), ("int8",), epochs=epochs), tmp_path / "out", progress)
        return progress.told[0]

    stopped(None)
    assert "1 of 2 rungs" in stopped(None)
    assert stopped(2).endswith("these changed: --epochs")  # a big network had fewer without it


def test_a_big_network_takes_fewer_epochs_and_a_small_one_those_of_its_recipe(trained: TrainingResult) -> None:
    settings = trained.settings
    assert multiplications(trained.model) == 12 * 128 + 128 * 3
    assert affordable(trained.model, 200, settings) == settings
    assert affordable(trained.model, 10**9, settings).epochs == 2
    assert 2 < affordable(trained.model, 2_000_000, replace(settings, epochs=400)).epochs < 400


def test_one_technique_that_fails_stops_no_other(tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    strange = a_recipe(tmp_path, layers=STRANGE, student="", epochs=2)
    names = ["qat", "student", "student-int8", "distilled", "int8"]
    steps = Steps(0, lambda *step: told.append(step))
    made = build_recipe_ladder(strange, names, distill_seeds=2, steps=steps)
    assert [rung.name for rung in made.rungs] == [PARENT, "int8"]
    reasons = {lost.name: lost.reason for lost in made.impossible}
    assert reasons["qat"] == "the technique does not know the layer even, a LayerNormalization"
    assert "blobs.py has no build_student()" in reasons["student"]
    assert reasons["distilled"] == reasons["student-int8"] == reasons["student"]
    assert made.study is None
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    with pytest.raises(BadInput, match="there is no rung qat: the technique does not know the layer even"):
        build_from_ladder(made, ["float32", "qat"])
    assert told[-1][0] == told[-1][1] == 2 + count_steps(names, Schedule(strange.settings), 2)


@pytest.mark.slow  # the converter takes seconds for each
def test_layers_that_go_through_time_have_all_rungs_when_they_are_unrolled(tmp_path: Path) -> None:
    layers = "layers.Reshape((2, 6)), layers.LSTM(3, unroll=True, return_sequences=True), layers.GRU(3, unroll=True),"
    made = build_recipe_ladder(a_recipe(tmp_path, layers=layers, student="", epochs=1), ["dynamic", "int8"])
    assert ([rung.name for rung in made.rungs], made.impossible) == ([PARENT, "dynamic", "int8"], ())


def test_too_little_training_to_prune_is_told(trained: TrainingResult) -> None:
    (lost,) = build_ladder(
        trained, ["pruned-50"], settings=replace(trained.settings, epochs=1, batch_size=1_000)
    ).impossible
    assert "pruning takes two batches at least" in lost.reason


def test_chosen_rungs_become_a_version(ladder: Ladder) -> None:
    made = build_from_ladder(ladder, ["int8", "pruned-clustered-qat"])
    assert [variant.name for variant in made.variants] == ["int8", "pruned-clustered-qat"]
    golden = np.load(io.BytesIO(made.golden.content), allow_pickle=False)
    for variant in made.variants:
        rung = ladder.rung(variant.name)
        assert (variant.tflite, variant.measured.accuracy) == (rung.tflite, rung.accuracy)
        expected = golden[f"{variant.name}_output_0"]
        assert np.abs(answers(variant.tflite, golden["input_0"]) - expected).max() <= variant.tolerance
    assert made.accuracy == ladder.parent.accuracy
    assert made.lineage["techniques"]["int8"] == "8-bit integers throughout"


def test_a_recipe_is_released_in_the_variants_asked_for_whose_bytes_do_not_depend_on_others(ladder: Ladder) -> None:
    names = ["float32", "distilled-int8"]  # the last of the ladder: all others were built before it
    made = build_from_recipe(ladder.trained.recipe, variants=names)
    assert [(variant.name, variant.tflite) for variant in made.variants] == [
        (name, ladder.rung(name).tflite) for name in names
    ]


def test_a_name_that_is_none_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no rung 'int9'"):
        compress(Compression("digits", ("int9",)), tmp_path / "out", SilentProgress())
    with pytest.raises(BadInput, match="--distill-seeds 0 cannot be"):
        compress(Compression("digits", distill_seeds=0), tmp_path / "out", SilentProgress())
    assert not (tmp_path / "out").exists()
