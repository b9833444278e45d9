"""A file that is no model, or a hostile one, is rejected by name."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol.errors import BadModel
from protocol.messages.golden_index import INDEX, GoldenIndex
from publisher.learning.artifacts.build import build_from_tflite
from publisher.learning.measurement.inspection import Inspection, inspect
from publisher.learning.measurement.sandbox import run
from publisher.learning.quiet_tensorflow import silence_tensorflow
from publisher.learning.tensorflow_import import load_tensorflow, load_tf_keras
from tests.integration import models

pytestmark = pytest.mark.xdist_group("learning")


def converted(network: Any, adjust: Callable[[Any, Any], None] = lambda _tf, _converter: None) -> bytes:
    tf = load_tensorflow()
    with silence_tensorflow():
        converter = tf.lite.TFLiteConverter.from_keras_model(network)
        adjust(tf, converter)
        return bytes(converter.convert())


def a_network(*layers: Any, features: tuple[int, ...] = (6,), batch: int | None = None) -> Any:
    tf_keras = load_tf_keras()
    return tf_keras.Sequential([tf_keras.Input(features, batch_size=batch), *layers])


@pytest.fixture(scope="module")
def tiny_models(once_per_run: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    return once_per_run("models", models.make)


@pytest.fixture(scope="module")
def good_model(tiny_models: Path) -> bytes:
    return (tiny_models / "flowers-float32.tflite").read_bytes()


def refusal(path: Path) -> BadModel:
    with pytest.raises(BadModel) as refused:
        build_from_tflite(path)
    assert path.name in refused.value.message
    assert "\n" not in refused.value.message
    return refused.value


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"hello", "is no TensorFlow Lite model"),
        (b"\x89HDF\r\n\x1a\n" + bytes(500), "is no TensorFlow Lite model, but an HDF5 file, as Keras saves"),
        (b"PK\x03\x04" + bytes(500), "but a zip archive"),
        (b"\x1c\0\0\0TFL3" + bytes(500), "bad.tflite"),
        (b"\xff\xff\xff\x7fTFL3" + b"\xff" * 500, "bad.tflite"),
    ],
)
def test_a_file_that_is_no_model_is_refused_by_name(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.tflite"
    path.write_bytes(content)
    assert said in refusal(path).message


def test_a_file_that_is_not_there_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.tflite").message
    assert "Is a directory" in refusal(tmp_path).message


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.9])
def test_a_truncated_model_does_not_end_the_publisher(share: float, good_model: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes(good_model[: int(len(good_model) * share)])
    assert refusal(path).hint


def test_damaged_models_are_opened_or_refused_and_nothing_else(good_model: bytes) -> None:
    opened: list[Inspection] = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        damaged = bytearray(good_model)
        for place in rng.integers(8, len(damaged), 2):
            damaged[place] = rng.integers(0, 256)
        with contextlib.suppress(BadModel):
            opened.append(inspect(bytes(damaged), name=f"damaged {seed}"))
    assert 0 < len(opened) < 12


def test_a_model_that_kills_its_runtime_is_told_with_the_signal() -> None:
    deadly = b"\xf0\xff\xff\x7fTFL3" + bytes(500)  # its root lies two gigabytes behind its end
    with pytest.raises(BadModel, match="deadly cannot be run: it ends the runtime with SIG"):
        inspect(deadly, name="deadly")


def test_sparse_weights_are_read_and_their_zeros_counted(tiny_models: Path) -> None:
    sparse = (tiny_models / "sparse.tflite").read_bytes()
    assert inspect(sparse, name="sparse.tflite").contract.outputs[0].shape == (1, 8, 8, 64)
    ran = run(sparse, [np.zeros((1, 8, 8, 32), np.float32)], "sparse.tflite")
    assert ran.sparsity == pytest.approx(0.9, abs=0.03)


def test_a_model_of_integers_outside_keeps_its_types_and_scales(tiny_models: Path) -> None:
    for dtype in ("int8", "uint8"):
        inspection = inspect((tiny_models / f"flowers-{dtype}.tflite").read_bytes(), name="integers.tflite")
        taken, given = inspection.contract.inputs[0], inspection.contract.outputs[0]
        assert (taken.dtype, given.dtype) == (dtype, dtype)
        assert 0 < taken.scale < 0.1
        assert given.scale == pytest.approx(1 / 256)


def test_a_model_that_needs_what_the_runtime_lacks_is_refused() -> None:
    tf = load_tensorflow()

    def with_tensorflow_ops(tf: Any, converter: Any) -> None:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]

    with silence_tensorflow():
        network = a_network(load_tf_keras().layers.Lambda(tf.linalg.det), features=(3, 3))
    with pytest.raises(BadModel) as refused:
        inspect(converted(network, with_tensorflow_ops), name="flex.tflite")
    assert "flex.tflite needs FlexMatrixDeterminant" in refused.value.message
    assert "TFLITE_BUILTINS alone" in refused.value.hint


def test_a_model_of_a_newer_converter_than_the_runtime_is_refused() -> None:
    def dynamic(tf: Any, converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]

    model = converted(a_network(load_tf_keras().layers.Dense(300), features=(300,)), dynamic)
    with pytest.raises(BadModel, match=r"new\.tflite was converted for a newer runtime than the device's"):
        inspect(model, name="new.tflite")


def test_a_model_of_a_fixed_batch_tells_it_in_its_contract() -> None:
    model = converted(a_network(load_tf_keras().layers.Dense(3, "softmax"), batch=8))
    contract = inspect(model, name="batch.tflite").contract
    assert (contract.batch, contract.row_shape(contract.inputs[0])) == (8, (6,))


def test_a_model_that_gives_nan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nan.tflite"
    with silence_tensorflow():
        network = a_network(load_tf_keras().layers.Lambda(lambda x: (x - x) / (x - x)))
    path.write_bytes(converted(network))
    assert "gives NaN" in refusal(path).message


def test_inputs_too_large_for_a_golden_set_are_generated_from_a_seed(tmp_path: Path) -> None:
    path = tmp_path / "large.tflite"
    pool = load_tf_keras().layers.GlobalAveragePooling2D
    path.write_bytes(converted(a_network(pool(), features=(1200, 1200, 1))))
    golden = build_from_tflite(path).golden
    assert golden.samples == golden.noise_samples == 8
    assert len(golden.content) < 10_000
    with zipfile.ZipFile(io.BytesIO(golden.content)) as archive:
        index = GoldenIndex.from_line(archive.read(INDEX))
    assert [each.shapes for each in index.generated] == [((1200, 1200, 1),)] * 8
    assert any("random noise" in note for note in golden.notes)
