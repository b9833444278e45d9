"""What a new version may change of a contract, and which file serves one."""

from __future__ import annotations

import pytest

from protocol.errors import ContractDiffers
from protocol.messages.contract import Contract, Tensor, described


def a_contract(*inputs: Tensor, outputs: tuple[Tensor, ...] | None = None, stateful: bool = False) -> Contract:
    return Contract(
        inputs=inputs or (a_tensor(),), outputs=outputs or (a_tensor("y", shape=(1, 3)),), stateful=stateful
    )


def a_tensor(name: str = "x", *, shape: tuple[int, ...] = (1, 24), dtype: str = "float32", **more: object) -> Tensor:
    return Tensor.model_validate({"name": name, "shape": shape, "dtype": dtype, **more})


def free(low: int, high: int) -> Tensor:
    return a_tensor(shape=(1, -1, 3), size_min=(1, low, 3), size_max=(1, high, 3))


def test_swapped_inputs_and_outputs_are_noticed_by_their_names_also_beside_those_of_tensorflow() -> None:
    sensor, weather = a_tensor("serving_default_sensor:0"), a_tensor("weather")
    before = a_contract(sensor, weather)
    before.check_successor(a_contract(a_tensor("sensor"), weather))
    with pytest.raises(ContractDiffers):
        before.check_successor(a_contract(weather, a_tensor("sensor")))
    one, two = a_tensor("boxes"), a_tensor("scores")
    with pytest.raises(ContractDiffers):
        a_contract(outputs=(one, two)).check_successor(a_contract(outputs=(two, one)))


def test_other_names_and_scales_are_told_and_allowed() -> None:
    before = a_contract(a_tensor(dtype="uint8", scale=0.5))
    after = a_contract(a_tensor("image", dtype="uint8", scale=0.25))
    before.check_successor(after)
    assert len(before.renamed(after)) == 2
    assert before.renamed(before) == ()


def test_bounds_of_a_free_size_may_widen_only() -> None:
    a_contract(free(32, 64)).check_successor(a_contract(free(16, 64)))
    with pytest.raises(ContractDiffers):
        a_contract(free(16, 64)).check_successor(a_contract(free(32, 64)))


def test_a_model_that_begins_to_keep_state_is_another_model() -> None:
    with pytest.raises(ContractDiffers):
        a_contract().check_successor(a_contract(stateful=True))


def test_a_free_size_of_a_file_serves_any_and_a_quantized_tensor_serves_float32() -> None:
    declared = a_contract(a_tensor(shape=(1, 224, 3)))
    declared.check_file(a_contract(a_tensor("other", shape=(-1, -1, 3))))
    declared.check_file(a_contract(a_tensor(shape=(1, 224, 3), dtype="int8", scale=0.5)))
    for wrong in (
        a_tensor(shape=(1, 225, 3)),
        a_tensor(shape=(1, 224)),
        a_tensor(shape=(1, 224, 3), dtype="int8"),
    ):
        with pytest.raises(ContractDiffers):
            declared.check_file(a_contract(wrong))


def test_a_tensor_is_described_by_type_shape_and_bounds() -> None:
    assert described(free(32, 512)) == "float32 [1, 32-512, 3]"
