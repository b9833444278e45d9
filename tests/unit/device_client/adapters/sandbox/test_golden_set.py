"""A golden set is read sample by sample, bounded, and compared as its bounds say."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_client.adapters.sandbox.comparison import OutputComparison
from device_client.adapters.sandbox.golden_set import StoredGoldenSet, load_golden
from protocol.content.difference import difference
from protocol.content.noise import hash_of, noise
from protocol.errors import BadInput
from protocol.messages.contract import Contract, Tensor
from protocol.messages.golden_index import INDEX, Generated, GoldenIndex, Noise, entry_name
from protocol.messages.manifest import GoldenBound

CONTRACT = Contract(
    inputs=(Tensor(name="x", shape=(1, 4), dtype="uint8"), Tensor(name="words", shape=(1, 2), dtype="string")),
    outputs=(Tensor(name="y", shape=(-1, 2)),),
)
NOISE = (Noise(dtype="uint8", high=255), Noise(dtype="string"))
SHAPES = ((4,), (2,))


def archive(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]], index: GoldenIndex | None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as held:
        for name, values in arrays.items():
            entry = io.BytesIO()
            np.save(entry, values, allow_pickle=False)
            held.writestr(name, entry.getvalue())
        if index is not None:
            held.writestr(INDEX, index.to_line())
    return path


def stored(path: Path, *, steps: int = 1, **more: Any) -> StoredGoldenSet:
    arrays = {}
    for step in range(steps):
        arrays[entry_name(0, step, "input_0")] = np.array([1, 2, 3, step], np.uint8)
        arrays[entry_name(0, step, "input_1")] = np.array([b"on", b"off"])
        arrays[entry_name(0, step, "float32_output_0")] = np.full((step, 2), 0.5, np.float32)
    index = GoldenIndex(samples=1, steps=steps, **more)
    return load_golden(archive(path / "golden.npz", arrays, index), "float32", CONTRACT)


def test_each_type_and_length_comes_as_it_was_stored_step_by_step(tmp_path: Path) -> None:
    golden = stored(tmp_path, steps=3)
    inputs, expected = golden.inputs(0), golden.expected(0)
    assert expected is not None
    assert (golden.samples, golden.steps) == (1, 3)
    assert [rows[0].tolist() for rows in inputs] == [[[1, 2, 3, step]] for step in range(3)]
    assert inputs[0][0].dtype == np.uint8
    assert inputs[2][1].tolist() == [[b"on", b"off"]]
    assert inputs[2][1].dtype == object
    assert [rows[0].shape for rows in expected] == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize("sha256", ["", "0" * 64])
def test_generated_inputs_are_the_publishers_or_refused(tmp_path: Path, sha256: str) -> None:
    index = GoldenIndex(samples=2, seed=11, noise=NOISE)
    rows = [
        noise(spec, shape, 11, index.stream(1, 0, at))
        for at, (spec, shape) in enumerate(zip(NOISE, SHAPES, strict=True))
    ]
    told = (Generated(sample=1, shapes=SHAPES, sha256=sha256 or hash_of(rows)),)
    golden = stored(tmp_path, seed=11, noise=NOISE, generated=told)
    if sha256:
        with pytest.raises(BadInput):
            golden.inputs(1)
    else:
        assert golden.inputs(1)[0][0].tolist() == [rows[0].tolist()]


def test_a_set_without_measurement_expects_nothing(tmp_path: Path) -> None:
    assert stored(tmp_path, measured=False).expected(0) is None


def test_an_entry_that_unpacks_to_gigabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    bomb = {entry_name(0, 0, "input_0"): np.zeros(70_000_000, np.uint8)}
    with pytest.raises(BadInput):
        load_golden(archive(tmp_path / "golden.npz", bomb, GoldenIndex(samples=1)), "float32", CONTRACT)


def test_damaged_sets_are_refused(tmp_path: Path) -> None:
    missing = load_golden(archive(tmp_path / "golden.npz", {}, GoldenIndex(samples=1)), "float32", CONTRACT)
    with pytest.raises(BadInput):
        missing.inputs(0)
    for name, content in (("index", b"{}"), ("text", b"no zip")):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(BadInput):
            load_golden(path, "float32", CONTRACT)


def test_large_outputs_are_compared_at_the_stored_places(tmp_path: Path) -> None:
    seen = stored(tmp_path, seed=11, values_max=10).seen(0, np.arange(1_000))
    assert len(seen) == 10
    assert np.all(np.diff(seen) > 0)


def floats(*values: float) -> np.ndarray[Any, Any]:
    return np.array(values, np.float32)


def a_comparison(bound: GoldenBound, tensor: Tensor | None = None, runs: int = 40) -> OutputComparison:
    return OutputComparison((bound,), (tensor or Tensor(name="y", shape=(1, 2)),), runs)


def test_a_bound_without_outliers_refuses_the_first_run_beyond_it() -> None:
    comparison = a_comparison(GoldenBound(tolerance=0.1))
    assert comparison.refusal(0, 0, floats(1, 2), floats(1, 2.05)) == ""
    assert "differs by 0.5, allowed 0.1" in comparison.refusal(1, 0, floats(1, 2), floats(1, 2.5))
    assert comparison.largest == pytest.approx(0.5)


def test_a_few_runs_may_exceed_a_bound_but_none_its_ceiling() -> None:
    bound = GoldenBound(tolerance=0.1, outliers=0.1, ceiling=1.0)
    comparison = a_comparison(bound)
    said = [comparison.refusal(sample, 0, floats(0, 0), floats(0, 0.5)) for sample in range(5)]
    assert [bool(each) for each in said] == [False] * 4 + [True]
    assert a_comparison(bound).refusal(0, 0, floats(0, 0), floats(0, 1.5))


def test_not_a_number_is_refused_whatever_the_bound() -> None:
    lax = GoldenBound(tolerance=1e9, outliers=1.0)
    assert a_comparison(lax).refusal(0, 0, floats(0, 0), floats(0, np.nan))


def test_another_number_of_boxes_is_an_outlier_where_there_may_be_some() -> None:
    assert a_comparison(GoldenBound(tolerance=0.1)).refusal(0, 0, floats(0, 0), floats(0))
    assert not a_comparison(GoldenBound(tolerance=0.1, outliers=0.1)).refusal(0, 0, floats(0, 0), floats(0))


@pytest.mark.parametrize(
    ("tensor", "expected", "got", "error"),
    [
        ({"dtype": "int64"}, [3, 4, 5, 6], [3, 4, 5, 90], 0.25),  # classes: the share that differs
        ({"dtype": "uint8", "scale": 0.5, "zero_point": 3}, [3, 4], [3, 6], 1.0),  # real numbers
        ({"dtype": "bool"}, [True, False], [True, True], 0.5),
        ({"dtype": "float32"}, [], [], 0.0),
        ({"dtype": "float32"}, [1], [1, 2], np.inf),
    ],
)
def test_the_difference_is_in_the_outputs_own_terms(
    tensor: dict[str, Any], expected: list[float], got: list[float], error: float
) -> None:
    declared = Tensor.model_validate({"name": "y", "shape": (1, 4), **tensor})
    arrays = [np.array(each, tensor["dtype"]) for each in (expected, got)]
    assert difference(declared, *arrays)[0] == error


def test_strings_are_compared_as_the_runtime_gives_them() -> None:
    declared = Tensor(name="y", shape=(1, 2), dtype="string")
    assert difference(declared, np.array([b"yes", b"no"]), np.array([b"yes", b"nobody"], object)) == (0.5, 1)
