"""A Keras file is converted, measured and released, or rejected in plain words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tflite_runtime.interpreter import Interpreter

from protocol.errors import BadInput, BadModel
from publisher.learning.artifacts.imported_model import build_from_keras, halves, trained_from_keras
from publisher.learning.conversion import keras_sandbox, keras_sandbox_child
from publisher.learning.conversion.keras_model_file import check_no_code, kind_of
from publisher.learning.conversion.keras_sandbox import convert_file
from publisher.learning.data.calibration import KeptCalibration
from publisher.operations.progress import SilentProgress
from publisher.operations.release.compress import Compression, KerasFile, compress
from tests.brokers import mosquitto
from tests.integration import keras_files
from tests.integration.publisher_cli import a_publisher

pytestmark = pytest.mark.xdist_group("keras-files")


@pytest.fixture(scope="module")
def files(once_per_run: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    return once_per_run("keras-files", keras_files.make)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convert without a child process, which needs seconds to import TensorFlow."""
    monkeypatch.setattr(
        keras_sandbox, "run_job", lambda _program, folder, job, **_: keras_sandbox_child.work(folder, job)
    )


def accuracy(tflite: bytes) -> float:
    x, y = keras_files.data()
    model = Interpreter(model_content=tflite)
    model.allocate_tensors()
    right = 0
    for sample, label in zip(x, y, strict=True):
        model.set_tensor(model.get_input_details()[0]["index"], sample[None])
        model.invoke()
        right += int(model.get_tensor(model.get_output_details()[0]["index"])[0].argmax() == label)
    return right / len(x)


def check_conversion(file: Path) -> None:
    x, _ = keras_files.data()
    converted = convert_file(file, x[:50])
    assert sorted(converted.files) == ["float32", "int8"]
    assert converted.left_out == {}
    assert accuracy(converted.files["float32"]) > 0.8  # the same weights in every file
    assert abs(accuracy(converted.files["int8"]) - accuracy(converted.files["float32"])) < 0.1


@pytest.mark.usefixtures("in_this_process")
def test_a_file_of_keras_2_becomes_float32_and_int8(files: Path) -> None:
    check_conversion(files / "flowers.keras")


@pytest.mark.usefixtures("in_this_process")
def test_a_file_of_keras_3_becomes_float32_and_int8(files: Path) -> None:
    check_conversion(files / "flowers-3.keras")  # other kinds below


@pytest.mark.slow
def test_a_keras_file_is_measured_on_the_half_that_showed_no_ranges(files: Path) -> None:
    made = build_from_keras(files / "flowers.h5", data=files / "data.npz", labels=["a", "b", "c"])
    assert [variant.name for variant in made.variants] == ["float32", "int8"]
    assert {variant.measured.accuracy_samples for variant in made.variants} == {60}
    assert made.accuracy is not None
    assert made.accuracy > 0.8
    assert made.variants[1].measured.agreement is not None
    shown, kept = halves(120)
    assert not set(shown) & set(kept)
    assert made.contract.inputs[0].shape == (1, 4)
    assert made.contract.inputs[0].value_max == pytest.approx(1, abs=0.05)
    assert made.lineage["file"] == "flowers.h5"
    assert len(made.kept) == 1


def test_the_network_of_a_file_can_be_trained_on_as_a_recipes(files: Path) -> None:
    trained = trained_from_keras(files / "flowers.keras", files / "data.npz")
    assert trained.accuracy > 0.8
    assert trained.recipe.data.x_test.shape == (60, 4)
    assert trained.recipe.build_model().count_params() == trained.model.count_params() == 67
    assert trained_from_keras(files / "flowers-saved", files / "data.npz").accuracy == trained.accuracy
    kept = KeptCalibration("1.0.0", keras_files.data()[0][:9])
    again = trained_from_keras(files / "flowers.keras", files / "data.npz", kept=kept)
    assert (again.calibration.version, len(again.calibration.samples)) == ("1.0.0", 9)
    with pytest.raises(BadModel, match="no layers of Keras 2, so that nothing in it can be trained"):
        trained_from_keras(files / "flowers-3.keras", files / "data.npz")


def test_the_network_of_a_file_has_a_ladder_and_what_it_cannot_have_is_told(files: Path, tmp_path: Path) -> None:
    rungs = ("pruned-50", "distilled")
    brought = KerasFile(files / "flowers.keras", files / "data.npz")
    made = compress(Compression(rungs=rungs, epochs=8, keras_file=brought), tmp_path, SilentProgress())
    told = {rung["name"]: rung for rung in made.facts["rungs"]}
    assert list(told) == ["float32", "pruned-50"]
    for name, rung in told.items():
        tflite = (tmp_path / f"{name}.tflite").read_bytes()
        assert rung["accuracy"] > 0.6, name
        assert rung["accuracy_samples"] == 60
        assert hashlib.sha256(tflite).hexdigest() == rung["sha256"]
    assert told["pruned-50"]["sparsity"] >= 0.4
    (lost,) = made.facts["impossible"]
    assert (lost["name"], lost["reason"].partition(" (")[0]) == ("distilled", "flowers.keras has no build_student()")
    assert "write a recipe whose build_model() loads it" in lost["reason"]
    assert (made.facts["source"], made.facts["file"]) == ("keras", "flowers.keras")
    assert made.facts["settings"]["epochs"] == 8
    assert "The ladder of flowers.keras" in (tmp_path / "report.html").read_text()


def test_data_without_classes_cannot_be_trained_on(files: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=keras_files.data()[0])
    with pytest.raises(BadInput, match=r"x\.npz has no y"):
        trained_from_keras(files / "flowers.keras", tmp_path / "x.npz")


@pytest.mark.parametrize(("name", "said"), keras_files.WITH_CODE.items())
def test_a_file_with_code_in_it_is_refused_unless_asked_for(name: str, said: str, files: Path) -> None:
    with pytest.raises(BadModel) as refused:
        check_no_code(files / name, kind_of(files / name))
    assert refused.value.message == f"{name} holds code that opening it would run: {said}"
    assert "--trust-code" in refused.value.hint


@pytest.mark.usefixtures("in_this_process")
def test_code_that_is_trusted_is_run_and_converted(files: Path) -> None:
    assert "float32" in convert_file(files / "lambda.keras", None, trust_code=True).files
    with pytest.raises(BadModel, match=r"lambda\.keras holds code that opening it would run: a Lambda layer"):
        convert_file(files / "lambda.keras", None)


def broken(folder: Path, name: str, files: Path) -> Path:
    path = folder / name
    whole = (files / "flowers.keras").read_bytes()
    content = {
        "text.keras": b"not a model",
        "half.keras": whole[: len(whole) // 2],
        "data.keras": (files / "data.npz").read_bytes(),
        "lite.keras": b"\0\0\0\0TFL3\0\0\0\0",
    }.get(name)
    if content is not None:
        path.write_bytes(content)
    elif name == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    ("name", "said", "hint"),
    [
        ("text.keras", "is no Keras model, nor any file that Keras writes", ".h5 or .keras"),
        ("half.keras", "is not a whole .keras file", "save it again"),
        ("data.keras", "is no Keras model, but data", "--data"),
        ("lite.keras", "is no Keras model, but a .tflite file", "--tflite"),
        ("folder", "is no SavedModel: it has no saved_model.pb", "SavedModel"),
        ("absent.h5", "cannot be read: No such file", "model.save()"),
    ],
)
def test_a_file_that_is_no_model_is_told_for_what_it_is(
    name: str, said: str, hint: str, files: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadModel) as refused:
        kind_of(broken(tmp_path, name, files))
    assert said in refused.value.message
    assert hint in refused.value.hint


def half(source: Path, target: Path) -> None:
    content = source.read_bytes()
    target.write_bytes(content[: len(content) // 2])


def test_damage_inside_is_found_in_the_child_and_told_plainly(files: Path, tmp_path: Path) -> None:
    half(files / "flowers.h5", tmp_path / "half.h5")
    (tmp_path / "graph").mkdir()
    half(files / "flowers-saved" / "saved_model.pb", tmp_path / "graph" / "saved_model.pb")
    for path, said in (
        (tmp_path / "half.h5", "half.h5 is not a model that can be opened"),
        (tmp_path / "graph", "graph is not a model that can be opened"),
        (files / "weights.h5", "weights.h5 holds weights alone, no network"),
    ):
        with pytest.raises(BadModel) as refused:
            convert_file(path, None)
        assert said in refused.value.message
        assert refused.value.hint
        assert "\n" not in refused.value.message


@pytest.mark.usefixtures("in_this_process")
def test_classes_that_are_not_here_are_named(files: Path) -> None:
    for attempt in (
        lambda: convert_file(files / "unknown.keras", None),
        lambda: trained_from_keras(files / "unknown.keras", files / "data.npz"),
    ):
        with pytest.raises(BadModel, match=r"unknown\.keras needs classes that are not here"):
            attempt()


@pytest.mark.usefixtures("in_this_process")
def test_what_the_converter_cannot_do_is_told_in_a_line_that_names_the_file(files: Path) -> None:
    for attempt in (
        lambda: convert_file(files / "erfinv.keras", None),
        lambda: trained_from_keras(files / "erfinv.keras", files / "data.npz"),
    ):
        with pytest.raises(BadModel) as refused:
            attempt()
        assert refused.value.message == ("erfinv.keras: the network needs Erfinv, which TensorFlow Lite does not have")
        assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("in_this_process")
def test_a_model_of_two_inputs_is_released_without_int8_and_says_why(files: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    np.savez(tmp_path / "pair.npz", x_0=rng.random((50, 2), np.float32), x_1=rng.random((50, 4), np.float32))
    made = build_from_keras(files / "pair.keras", data=tmp_path / "pair.npz")
    assert [variant.name for variant in made.variants] == ["float32"]
    assert made.lineage["not_done"] == ["int8 is left out: the model takes 2 inputs, and ranges are found for one only"]


def test_a_brought_model_is_released_and_what_it_cannot_do_is_said(files: Path, tmp_path: Path) -> None:
    with mosquitto() as broker:
        publisher = a_publisher(tmp_path, broker.url)
        keras = ("release", "flowers", "--keras", files / "flowers-saved", "--data", files / "data.npz")
        released = publisher.run_here(*keras, "--version", "1.0.0", "--json").json
        assert list(released["variants"]) == ["float32", "int8"]
        tflite = tmp_path / "flowers.tflite"
        tflite.write_bytes((publisher.registry / "blobs" / released["variants"]["float32"]["sha256"]).read_bytes())
        said = publisher.run_here("release", "flowers", "--tflite", tflite, "--version", "1.1.0", "--force").err
        assert "a .tflite file has no layers: it is released as it is" in said
        refused = publisher.run_here(
            "release", "flowers", "--version", "1.2.0", "--keras", files / "lambda.h5", expect=2
        ).err
        assert "error: lambda.h5 holds code" in refused
        assert "--trust-code" in refused
        shown = publisher.run_here("show", "flowers", "1.0.0").out
        assert "file hash:" in shown
        assert "calibration:    drawn for this version" in shown
        assert "not done" not in shown  # float32 and int8 are all that was asked for
        assert "tf-keras 2.21" in shown
