"""Files of every kind: what each is released as and proved by, or why it is refused."""

from __future__ import annotations

import functools
import io
import struct
import zipfile
from pathlib import Path
from queue import Queue
from typing import Final

import numpy as np
import pytest

from device_client.adapters.sandbox.parent import TrialProcess
from device_client.ports.proof import NotTried, Proof, ProofOrder
from protocol.errors import BadInput, BadModel, ContractDiffers
from protocol.messages.contract import Contract, described
from protocol.messages.golden_index import INDEX, GoldenIndex
from publisher.learning.artifacts.build import BuiltVersion, build_from_tflite
from publisher.learning.data.npz_data import read_user_data
from publisher.learning.measurement.inspection import inspect
from publisher.learning.measurement.sandbox import FileRequest, FreeSize, sizes_of

FOLDER: Final = Path(__file__).parents[1] / "data" / "models"
WAIT_S: Final = 120.0
RELEASED: Final = {
    "argmax-int64": ("float32 [1, 32, 32, 3]", "int64 [1, 32, 32]"),
    "boxes": ("float32 [1, 8]", "float32 [any, 2]"),
    "boxes_fixed0": ("float32 [1, 8]", "float32 [any, 2]"),
    "dynamic-hw": ("float32 [1, 1-1024, 1-1024, 3]", "float32 [1, any, any, 4]"),
    "dynamic-time": ("float32 [1, 4-4096, 13]", "float32 [1, 4]"),  # less than 4 gives NaN, or is refused
    "fixed-batch-4": ("float32 [4, 8]", "float32 [4, 3]"),
    "regress3": ("float32 [1, 8]", "float32 [1, 3]"),
    "regress3-constant-wrong": ("float32 [1, 8]", "float32 [1, 3]"),
    "rnn-state": ("float32 [1, 16]", "float32 [1, 4]"),
    "text-int32-tokens": ("int32 [1, 20]", "float32 [1, 4]"),
    "two-inputs": ("float32 [1, 24], float32 [1, 24]", "float32 [1, 3]"),
    "two-inputs-swapped": ("float32 [1, 24], float32 [1, 24]", "float32 [1, 3]"),
}
LARGE: Final = ("yolo640",)


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.tflite"


@functools.cache
def contract_of(name: str, request: FileRequest = FileRequest()) -> Contract:  # noqa: B008 - frozen
    return inspect(path_of(name).read_bytes(), name=f"{name}.tflite", request=request).contract


def proof_of(path: Path, built: BuiltVersion, folder: Path) -> Proof | NotTried:
    """What a device says of it."""
    golden = folder / "golden.npz"
    golden.write_bytes(built.golden.content)
    order = ProofOrder(
        model=path,
        golden=golden,
        variant="original",
        tolerance=built.variants[0].tolerance,
        bounds=built.variants[0].bounds,
        contract=built.contract,
        memory_max_bytes=200_000_000,
        wall_max_s=WAIT_S,
    )
    told: Queue[Proof | NotTried] = Queue()
    TrialProcess().start(order, told.put)
    return told.get(timeout=WAIT_S)


def index_of(built: BuiltVersion) -> GoldenIndex:
    with zipfile.ZipFile(io.BytesIO(built.golden.content)) as archive:
        return GoldenIndex.from_line(archive.read(INDEX))


@pytest.mark.parametrize("name", RELEASED)
def test_a_file_is_read_as_what_it_is(name: str) -> None:
    contract = contract_of(name)
    sides = (", ".join(map(described, contract.inputs)), ", ".join(map(described, contract.outputs)))
    assert sides == RELEASED[name]
    assert contract.stateful == (name == "rnn-state")


@pytest.mark.parametrize("name", ["boxes", "dynamic-time", "rnn-state", "text-int32-tokens"])
def test_a_file_goes_through_release_and_proof(name: str, tmp_path: Path) -> None:
    built = build_from_tflite(path_of(name))
    proof = proof_of(path_of(name), built, tmp_path)
    assert isinstance(proof, Proof)
    assert proof.passed, proof.reason
    assert proof.samples == built.golden.samples == built.golden.noise_samples == 32


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RELEASED, *LARGE])
def test_every_file_goes_through_release_and_proof(name: str, tmp_path: Path) -> None:
    built = build_from_tflite(path_of(name))
    proof = proof_of(path_of(name), built, tmp_path)
    assert isinstance(proof, Proof)
    assert proof.passed, proof.reason
    assert len(built.golden.content) < 1_000_000
    assert proof.samples == built.golden.samples >= 8


@pytest.mark.parametrize(
    ("name", "operation"),
    [("custom-edgetpu", "edgetpu-custom-op"), ("custom-flex", "FlexRFFT2D"), ("custom-own", "MyOp")],
)
def test_an_operation_that_the_runtime_lacks_is_told_by_its_name(name: str, operation: str) -> None:
    with pytest.raises(BadModel) as refused:
        contract_of(name)
    assert operation in refused.value.message
    assert refused.value.hint


def test_a_file_for_a_delegate_is_released_unmeasured_and_not_adopted_without_it(tmp_path: Path) -> None:
    path = path_of("custom-edgetpu")
    built = build_from_tflite(path, request=FileRequest(unmeasured=True))
    assert built.variants[0].measured.latency_ms_p50 is None
    assert not index_of(built).measured
    proof = proof_of(path, built, tmp_path)
    assert isinstance(proof, NotTried) or not proof.passed


def test_an_unmeasured_file_is_proved_where_it_runs(tmp_path: Path) -> None:
    path = path_of("regress3")
    proof = proof_of(path, build_from_tflite(path, request=FileRequest(unmeasured=True)), tmp_path)
    assert isinstance(proof, Proof)
    assert proof.passed, proof.reason


def test_a_sample_of_a_model_with_state_is_a_sequence_and_another_state_is_refused(tmp_path: Path) -> None:
    path = path_of("rnn-state")
    built = build_from_tflite(path)
    assert index_of(built).steps == built.golden.steps == 6
    swapped = tmp_path / "other.tflite"
    swapped.write_bytes(other_weights(path.read_bytes()))
    proof = proof_of(swapped, built, tmp_path)
    assert isinstance(proof, Proof)
    assert not proof.passed


def test_swapped_inputs_are_noticed_against_the_version_before() -> None:
    before = contract_of("two-inputs")
    before.check_successor(contract_of("two-inputs-swapped"))  # its layers were swapped back by the converter
    content = path_of("two-inputs").read_bytes()
    order, swapped = struct.pack("<III", 2, 0, 1), struct.pack("<III", 2, 1, 0)  # of the graph's inputs
    assert content.count(order) == 1
    with pytest.raises(ContractDiffers):
        before.check_successor(inspect(content.replace(order, swapped), name="swapped.tflite").contract)


def test_free_sizes_are_bounded_as_asked_and_stay_so_in_the_next_version() -> None:
    asked = FileRequest(sizes=(FreeSize(1, 32, 64), FreeSize(2, 48, 48)))
    contract = contract_of("dynamic-hw", asked)
    assert described(contract.inputs[0]) == "float32 [1, 32-64, 48, 3]"
    again = contract_of("dynamic-hw", FileRequest(sizes=(*sizes_of(contract), FreeSize(2, 48, 48))))
    contract.check_successor(again)
    with pytest.raises(BadModel):
        contract_of("dynamic-hw", FileRequest(sizes=(FreeSize(3, 1, 2),)))


def test_a_signature_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(BadModel) as refused:
        contract_of("regress3", FileRequest(signature="serve"))
    assert "serving_default" in refused.value.message


@pytest.mark.parametrize(
    ("name", "arrays", "said"),
    [
        ("text-int32-tokens", {"x": np.zeros((3, 20), np.int64)}, ""),
        ("text-int32-tokens", {"x": np.full((3, 20), 2**40)}, "more than int32 holds"),
        ("text-int32-tokens", {"x": np.zeros((3, 20), np.float32)}, "holds float32"),
        ("dynamic-time", {"x": np.zeros((3, 50, 13), np.float32)}, ""),
        ("dynamic-time", {"x": np.zeros((3, 2, 13), np.float32)}, "[4-4096, 13]"),
        ("two-inputs", {"sensor": np.zeros((3, 24), np.float32), "x_1": np.zeros((3, 24), np.float32)}, ""),
        ("two-inputs", {"sensor": np.zeros((3, 24), np.float32)}, "has no array x_1"),
        ("fixed-batch-4", {"x": np.zeros((3, 8), np.float32)}, ""),
    ],
)
def test_data_is_taken_in_the_models_own_types(
    name: str, arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    contract = contract_of(name)
    if not said:
        data = read_user_data(path, contract)
        assert [x.dtype.name for x in data.inputs] == [tensor.dtype for tensor in contract.inputs]
        return
    with pytest.raises(BadInput) as refused:
        read_user_data(path, contract)
    assert said in refused.value.message


def test_without_labels_the_golden_set_holds_each_answer_of_the_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate([np.full((300, 64), 0.2), rng.uniform(0, 1, (40, 64))]).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x)
    built = build_from_tflite(path_of("digits-dynamic"), data=tmp_path / "data.npz")
    with np.load(io.BytesIO(built.golden.content)) as golden:
        seen, counts = np.unique(golden["original_output_0"].argmax(axis=1), return_counts=True)
    assert len(seen) >= 3
    assert counts.max() < 32 - len(seen)
    assert built.golden.noise_samples == 0


def other_weights(content: bytes) -> bytes:
    """The file with a run of its weights in another order."""
    damaged = bytearray(content)
    start = len(content) // 2 // 4 * 4
    damaged[start : start + 400] = content[start : start + 400][::-1]
    return bytes(damaged)
