"""The runtime adapter on real files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from device_client.adapters.runtime.tflite import check_runtime, open_model, runtime_name
from protocol.errors import BadModel
from tests.integration import models

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(once_per_run: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    return once_per_run("models", models.make)


def test_the_check_opens_and_runs_a_model() -> None:
    assert check_runtime() == runtime_name()
    assert runtime_name().split()[0] in {"tflite-runtime", "ai-edge-litert"}


def test_a_classifier_answers_with_shares_that_add_up(folder: Path) -> None:
    model = open_model(folder / "flowers-float32.tflite")
    (answer,) = model.run([np.array([[0.1, 0.2, 0.3, 0.4]], np.float32)])
    assert answer.shape == (1, 3)
    assert answer.dtype == np.float32
    assert answer.sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("variant", ["flowers-int8-inside", "flowers-int8", "flowers-uint8"])
def test_every_variant_takes_and_gives_float32_where_the_contract_says_so(folder: Path, variant: str) -> None:
    plain = open_model(folder / "flowers-float32.tflite")
    packed = open_model(folder / f"{variant}.tflite", contract=plain.contract)
    inputs = np.random.default_rng(3).uniform(0, 1, (20, 4)).astype(np.float32)
    answers = packed.run([inputs])[0]
    assert answers.dtype == np.float32
    assert np.abs(answers - plain.run([inputs])[0]).max() < 0.05


def test_values_beyond_an_int8_files_range_are_clipped_not_wrapped(folder: Path) -> None:
    contract = open_model(folder / "flowers-float32.tflite").contract
    model = open_model(folder / "flowers-int8.tflite", contract=contract)
    edge, beyond = np.full((1, 4), 1.0, np.float32), np.full((1, 4), 1e6, np.float32)
    assert np.array_equal(model.run([edge])[0], model.run([beyond])[0])


def test_a_batch_is_answered_like_its_single_inputs(folder: Path) -> None:
    model = open_model(folder / "flowers-float32.tflite")
    batch = np.random.default_rng(4).uniform(0, 1, (7, 4)).astype(np.float32)
    (together,) = model.run([batch])
    assert together.shape == (7, 3)
    for row, answer in zip(batch, together, strict=True):
        assert np.array_equal(model.run([row[None]])[0][0], answer)


def test_several_inputs_and_outputs_keep_their_order(folder: Path) -> None:
    model = open_model(folder / "pair-float32.tflite")
    shapes = [tensor.shape for tensor in model.contract.inputs]
    answers = model.run([np.ones((2, *shape[1:]), np.float32) for shape in shapes])
    assert [answer.shape[1:] for answer in answers] == [tensor.shape[1:] for tensor in model.contract.outputs]
    assert [len(answer) for answer in answers] == [2, 2]


def test_an_answer_stays_what_it_was_when_the_next_one_is_computed(folder: Path) -> None:
    model = open_model(folder / "flowers-float32.tflite")
    (first,) = model.run([np.array([[0.9, 0.0, 0.0, 0.1]], np.float32)])
    before = first.copy()
    model.run([np.array([[0.0, 0.9, 0.9, 0.0]], np.float32)])
    assert np.array_equal(first, before)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 no model", bytes(1_000)])
def test_a_file_that_is_no_model_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "picture.tflite"
    path.write_bytes(content)
    with pytest.raises(BadModel, match=r"picture\.tflite is no TensorFlow Lite file"):
        open_model(path)


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"gone\.tflite cannot be read: No such file"):
        open_model(tmp_path / "gone.tflite")


@pytest.mark.skipif(runtime_name().startswith("ai-edge"), reason="its one line of greeting cannot be silenced safely")
def test_the_runtime_writes_nothing_to_the_users_terminal(folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from device_client.adapters.runtime.tflite import open_model\n"
        "open_model(Path(sys.argv[1])).warm_up(); print('done', file=sys.stderr)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(folder / "flowers-float32.tflite")],
        cwd=PROJECT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert (run.stdout, run.stderr) == ("", "done\n")
