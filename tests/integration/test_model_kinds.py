"""Predictions of models of every type and shape, beside a bare interpreter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tflite_runtime.interpreter import Interpreter

from device_client.adapters.runtime.tflite import Array, open_model
from device_client.ports.serving import ModelFile
from device_client.serving.live_serving import LiveServing
from protocol.errors import BadInput, BadModel, MissingPart
from protocol.messages.contract import Contract, bare_name
from tests.integration import models
from tests.pages import page

INPUTS: dict[str, Any] = {
    "uint8": np.array([0, 7, 255], np.uint8),
    "int8": np.array([-128, 0, 127], np.int8),
    "int16": np.array([-32_768, 0, 32_767], np.int16),
    "int32": np.array([-(2**31), 0, 2**31 - 1], np.int32),
    "int64": np.array([-(2**63), 0, 2**63 - 1], np.int64),
    "bool": np.array([True, False, True]),
    "float16": np.array([0.5, -2.0, 65_504.0], np.float16),
    "float64": np.array([1 / 3, 1e300, -1e-300]),
    "complex64": np.array([1j, 2.0, -3 + 4j], np.complex64),
    "string": np.array(["rose", "größer", ""]),
}


@pytest.fixture(scope="module")
def folder(once_per_run: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    return once_per_run("models", models.make)


@pytest.fixture
def serving() -> Iterator[LiveServing]:
    opened = LiveServing(wall_s=lambda: 1_700_000_000.0)
    yield opened
    opened.close()


def serve(serving: LiveServing, path: Path, contract: Contract | None = None) -> Contract:
    contract = contract or open_model(path).contract
    serving.swap(ModelFile(path, "1.0.0", "own", contract))
    return contract


def bare(path: Path, *inputs: Array) -> list[Array]:
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    for details, given in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.resize_tensor_input(details["index"], given.shape)
    interpreter.allocate_tensors()
    for details, given in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(details["index"], given)
    interpreter.invoke()
    return [interpreter.get_tensor(details["index"]) for details in interpreter.get_output_details()]


def bounded(contract: Contract, least: tuple[int, ...], most: tuple[int, ...]) -> Contract:
    (tensor,) = contract.inputs
    return contract.model_copy(update={"inputs": (tensor.model_copy(update={"size_min": least, "size_max": most}),)})


@pytest.mark.parametrize("dtype", models.TYPES)
def test_values_of_every_type_go_in_and_come_out_as_they_are(serving: LiveServing, folder: Path, dtype: str) -> None:
    path, x = folder / f"same-{dtype}.tflite", INPUTS[dtype]
    assert serve(serving, path).inputs[0].dtype == dtype
    answer = serving.predict(x)
    expected = [text.encode() for text in x.tolist()] if dtype == "string" else x.tolist()
    assert answer.output.ravel().tolist() == expected
    assert answer.output.dtype == (object if dtype == "string" else x.dtype)
    assert (answer.real_output is answer.output) == (dtype != "complex64")
    assert len(serving.predict([x, x, x]).each()) == 3
    if dtype != "string":
        assert np.array_equal(answer.output, bare(path, x[np.newaxis])[0][0])


def test_texts_keep_their_final_zeros_and_bytes_that_are_no_text(serving: LiveServing, folder: Path) -> None:
    serve(serving, folder / "same-string.tflite")
    mixed: Any = [b"a\0", b"\xff", "b"]
    assert serving.predict(mixed).output.ravel().tolist() == [b"a\0", b"\xff", b"b"]
    wrong: Any
    for wrong in ([1, 2, 3], [None, "a", "b"]):
        with pytest.raises(BadInput, match=r"type|text"):
            serving.predict(wrong)


def test_a_model_may_answer_with_texts(serving: LiveServing, folder: Path) -> None:
    serve(serving, folder / "named.tflite")
    assert serving.predict(np.array(2)).output.item() == b"daisy"
    assert serving.predict([0, 1]).output.tolist() == [b"rose", b"tulip"]


@pytest.mark.parametrize(("variant", "dtype"), [("int8", np.int8), ("uint8", np.uint8)])
def test_a_quantized_model_takes_its_own_type_or_real_numbers(
    serving: LiveServing, folder: Path, variant: str, dtype: type
) -> None:
    path = folder / f"flowers-{variant}.tflite"
    tensor = serve(serving, path).inputs[0]
    real = np.array([0.1, 0.25, 0.5, 0.999], np.float32)
    stored = np.clip(np.rint(real / np.float32(tensor.scale)) + tensor.zero_point, *bounds(dtype)).astype(dtype)
    own = serving.predict(stored)
    assert own.output.dtype == dtype
    assert np.array_equal(own.output, bare(path, stored[np.newaxis])[0][0])
    for given in (real, real.astype(np.float64), stored.astype(np.int64), real.tolist(), stored.tolist()):
        assert np.array_equal(serving.predict(given).output, own.output)
    output = open_model(path).contract.outputs[0]
    assert own.real_output == pytest.approx((own.output.astype(float) - output.zero_point) * output.scale)
    assert own.confidence == pytest.approx(float(own.real_output.max()))
    both = serving.predict(np.stack([stored, stored]))
    assert np.array_equal(both.real_output[1], own.real_output)


def test_the_lines_of_the_page_run(serving: LiveServing, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    serve(serving, folder / "flowers-uint8.tflite")
    lines = next(fence.text for fence in page("docs/APPLICATIONS.md").fences if fence.info == "python types")
    exec(lines, {"model": serving, "np": np})
    assert "uint8 (1, 4)" in capsys.readouterr().out


def test_real_numbers_beyond_a_quantized_input_saturate_and_no_numbers_are_refused(
    serving: LiveServing, folder: Path
) -> None:
    serve(serving, folder / "flowers-uint8.tflite")
    beyond = serving.predict(np.array([-1e9, 1e9, 0.0, 0.0], np.float32))
    assert np.array_equal(beyond.output, serving.predict(np.array([0, 255, 0, 0], np.uint8)).output)
    for wrong in ([np.nan, 0, 0, 0], [np.inf, 0, 0, 0]):
        with pytest.raises(BadInput, match="finite"):
            serving.predict(wrong)
    with pytest.raises(BadInput, match=r"256, and uint8 goes from 0 to 255; .*\(or real numbers\)"):
        serving.predict([256, 0, 0, 0])


def test_a_picture_of_bytes_is_not_copied(serving: LiveServing, folder: Path) -> None:
    serve(serving, folder / "same-uint8.tflite")
    state = serving._state
    assert state is not None
    picture = np.array([1, 2, 3], np.uint8)
    ((arranged,), batched) = state.live.arrange(picture)
    assert np.shares_memory(arranged, picture)
    assert not batched


def test_inputs_go_in_by_name(serving: LiveServing, folder: Path) -> None:
    path = folder / "detections.tflite"
    names = [bare_name(tensor.name) for tensor in serve(serving, path).inputs]
    given = some_detections()
    inputs = [given[name] for name in names]
    named, listed = serving.predict(dict(reversed(given.items()))), serving.predict(inputs)
    direct = bare(path, *(each[np.newaxis] for each in inputs))
    for ours, theirs, expected in zip(named.outputs, listed.outputs, direct, strict=True):
        assert np.array_equal(ours, theirs)
        assert np.array_equal(ours, expected[0])
    with pytest.raises(BadInput, match=r"takes (boxes, scores|scores, boxes); given are boxes, score"):
        serving.predict({"boxes": given["boxes"], "score": given["scores"]})


def test_a_custom_operation_of_the_runtime_works(serving: LiveServing, folder: Path) -> None:
    outputs = serve(serving, folder / "detections.tflite").outputs
    count = [tensor.shape for tensor in outputs].index((1,))
    found = serving.predict(some_detections())
    assert sorted(each.shape for each in found.outputs) == [(), (3,), (3,), (3, 4)]
    assert found.outputs[count].item() == 3
    nothing = serving.predict(some_detections() | {"scores": np.zeros((4, 3), np.float32)})
    assert nothing.outputs[count].item() == 0


@pytest.mark.parametrize(
    ("name", "operation"), [("unknown-custom", "custom operation Igamma"), ("flex", "MatrixInverse of full TensorFlow")]
)
def test_an_operation_that_the_runtime_lacks_is_named(folder: Path, name: str, operation: str) -> None:
    with pytest.raises(BadModel, match=rf"{name}\.tflite needs (the )?{operation}") as refused:
        open_model(folder / f"{name}.tflite")
    assert refused.value.hint


def test_a_file_for_an_edge_tpu_is_the_devices_trouble_without_one(folder: Path) -> None:
    with pytest.raises(MissingPart, match=r"compiled for an Edge TPU, and no delegate .* on this device"):
        open_model(folder / "edgetpu.tflite")


@pytest.mark.parametrize("declared", [-1, 0])  # 0 in contracts of older publishers
def test_outputs_of_free_length_are_answered_also_empty(serving: LiveServing, folder: Path, declared: int) -> None:
    path = folder / "boxes.tflite"
    own = open_model(path).contract
    output = own.outputs[0].model_copy(update={"shape": (declared, 2)})
    serve(serving, path, own.model_copy(update={"outputs": (output,)}))
    lengths = []
    for over in (0, 3, 1, 0, 8):
        x = np.where(np.arange(8) < over, 2.0, 0.0).astype(np.float32)
        answer = serving.predict(x)
        assert np.array_equal(answer.output, bare(path, x[np.newaxis])[0])
        assert answer.top is None
        lengths.append(len(answer.output))
    assert lengths == [0, 3, 1, 0, 8]
    both = serving.predict(np.array([[0.0] * 8, [2.0] * 8], np.float32))
    assert [len(each.output) for each in both.each()] == [0, 8]
    assert [len(each) for each in both.output] == [0, 8]


def test_free_sizes_are_resized_within_their_bounds(serving: LiveServing, folder: Path) -> None:
    path = folder / "dynamic-time.tflite"
    serve(serving, path, bounded(open_model(path).contract, (1, 4, 3), (1, 50, 3)))
    for steps in (4, 50, 7, 7, 4):
        x = np.random.default_rng(steps).normal(size=(steps, 3)).astype(np.float32)
        assert np.array_equal(serving.predict(x).output, bare(path, x[np.newaxis])[0][0])
    both = serving.predict(np.zeros((2, 9, 3), np.float32))
    assert both.output.shape == (2, 2)
    for steps in (3, 51):
        with pytest.raises(BadInput, match=r"shape \(4 to 50, 3\), or a batch \(n, 4 to 50, 3\)"):
            serving.predict(np.zeros((steps, 3), np.float32))


def test_outputs_follow_free_sizes(serving: LiveServing, folder: Path) -> None:
    path = folder / "dynamic-hw.tflite"
    serve(serving, path, bounded(open_model(path).contract, (1, 1, 1, 3), (1, 64, 64, 3)))
    shapes = [
        serving.predict(np.ones((height, width, 3), np.float32)).output.shape for height, width in [(5, 9), (8, 1)]
    ]
    assert shapes == [(5, 9, 2), (8, 1, 2)]


def test_a_free_size_that_the_contract_gives_is_set(serving: LiveServing, folder: Path) -> None:
    path = folder / "dynamic-time.tflite"
    own = open_model(path).contract
    fixed = own.model_copy(update={"inputs": (own.inputs[0].model_copy(update={"shape": (1, 12, 3)}),)})
    serve(serving, path, fixed)
    x = np.random.default_rng(1).normal(size=(12, 3)).astype(np.float32)
    assert np.array_equal(serving.predict(x).output, bare(path, x[np.newaxis])[0][0])
    with pytest.raises(BadInput, match=r"shape \(12, 3\)"):
        serving.predict(np.zeros((13, 3), np.float32))


@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_a_fixed_batch_is_filled_and_cut(serving: LiveServing, folder: Path, count: int) -> None:
    path = folder / "fixed-batch-4.tflite"
    serve(serving, path)
    rows = np.random.default_rng(2).normal(size=(count, 8)).astype(np.float32)
    answer = serving.predict(rows)
    assert answer.output.shape == (count, 3)
    assert [each.top for each in answer.each()] == answer.output.argmax(axis=1).tolist()
    full = np.concatenate([rows, np.repeat(rows[-1:], -count % 4, axis=0)])
    expected = np.concatenate([bare(path, full[at : at + 4])[0] for at in range(0, len(full), 4)])[:count]
    assert np.array_equal(answer.output, expected)
    assert np.array_equal(serving.predict(rows[0]).output, bare(path, np.repeat(rows[:1], 4, axis=0))[0][0])


def test_an_input_without_a_batch_is_one_row(serving: LiveServing, folder: Path) -> None:
    path = folder / "waveform.tflite"
    serve(serving, path)
    sound = np.random.default_rng(3).normal(size=(2, 100)).astype(np.float32)
    assert np.array_equal(serving.predict(sound[0]).output, bare(path, sound[0])[0][0])
    assert serving.predict(sound).output.shape == (2, 5)


def test_the_contract_chooses_a_signature(serving: LiveServing, folder: Path) -> None:
    path = folder / "two-signatures.tflite"
    tensors = {"x": (1, 3), "code": (1, 3), "by": (1, 1), "norm": (1,)}
    signatures = {"encode": (["x"], ["code"]), "decode": (["by", "code"], ["norm", "x"])}
    for signature, sides in signatures.items():
        inputs, outputs = ([{"name": name, "shape": tensors[name]} for name in names] for names in sides)
        serve(serving, path, Contract.model_validate({"inputs": inputs, "outputs": outputs, "signature": signature}))
        if signature == "encode":
            assert serving.predict(np.array([1, 2, 3], np.float32)).output.tolist() == [2, 4, 6]
        else:
            answer = serving.predict({"code": np.array([2, 4, 6], np.float32), "by": np.array([1], np.float32)})
            assert [each.tolist() for each in answer.outputs] == [12.0, [2, 3, 4]]


def test_a_file_that_stores_in_other_steps_than_its_contract_is_refused(serving: LiveServing, folder: Path) -> None:
    path = folder / "flowers-uint8.tflite"
    own = open_model(path).contract
    other = own.model_copy(update={"inputs": (own.inputs[0].model_copy(update={"scale": 0.5}),)})
    with pytest.raises(BadModel, match="not what its manifest says"):
        serve(serving, path, other)


def some_detections() -> dict[str, Array]:
    """Three boxes are found; the runtime leaves garbage in the place of fewer."""
    scores = np.array([[0, 0.9, 0.1], [0, 0.1, 0.8], [0, 0.7, 0.1], [0, 0.0, 0.2]], np.float32)
    return {"boxes": np.zeros((4, 4), np.float32), "scores": scores}


def bounds(dtype: type) -> tuple[int, int]:
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
