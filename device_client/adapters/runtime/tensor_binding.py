"""The tensors of a contract, found in a file and converted where the two differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.messages.contract import FREE, Contract, Tensor
from protocol.tensor_values import STRING, array_type, dequantize, quantize

Array = NDArray[Any]  # the values of a tensor
Details = dict[str, Any]  # of a tensor, as the runtime tells them


@dataclass(frozen=True, slots=True)
class TensorBinding:
    """An input or output in file and contract; `scale` is 0 without a conversion."""

    tensor: Tensor
    name: str  # the signature's, or the file's
    index: int
    dtype: np.dtype[Any]
    batched: bool  # whether the first dimension is the batch
    scale: float = 0.0
    zero_point: int = 0

    def to_file(self, shown: Array) -> Array:
        """A row with its batch dimension (1, …), as the file takes it."""
        given = shown if self.batched else shown[0]
        if self.scale:
            return quantize(given, self.scale, self.zero_point, self.dtype)
        return np.asarray(given, self.dtype, order="C")

    def to_shown(self, computed: Array) -> Array:
        return dequantize(computed, self.scale, self.zero_point) if self.scale else computed

    def smallest(self) -> tuple[int, ...]:
        """The shape of the smallest input that the contract allows."""
        least = self.tensor.size_min or (1,) * len(self.tensor.shape)
        return tuple(low if size == FREE else size for size, low in zip(self.tensor.shape, least, strict=True))


def bind(contract: Contract, tensors: Sequence[Tensor], details: Sequence[Details]) -> list[TensorBinding]:
    """Bind the contract's inputs or outputs to those of a file that serves it."""
    return [_bound(tensor, facts, contract) for tensor, facts in zip(tensors, details, strict=True)]


def derive_contract(inputs: Sequence[Details], outputs: Sequence[Details], *, stateful: bool = False) -> Contract:
    """The contract of a file in its own types; free sizes are not bounded."""
    free_batch = any(_signature(facts)[:1] == (FREE,) for facts in inputs)
    return Contract(
        inputs=tuple(_derived(facts, batch_free=True) for facts in inputs),
        outputs=tuple(_derived(facts, batch_free=free_batch) for facts in outputs),
        stateful=stateful,
    )


def _bound(tensor: Tensor, facts: Details, contract: Contract) -> TensorBinding:
    binding = TensorBinding(
        tensor=tensor,
        name=facts["name"],
        index=facts["index"],
        dtype=array_type(_type_name(facts)),
        batched=contract.row_shape(tensor) != tensor.shape,
    )
    scale, zero_point = _quantization(facts)
    converted = scale and not tensor.scale and tensor.dtype == "float32"
    return replace(binding, scale=scale, zero_point=zero_point) if converted else binding


def _derived(facts: Details, *, batch_free: bool) -> Tensor:
    signature = _signature(facts)
    first = tuple(1 if size == FREE and batch_free else size for size in signature[:1])
    scale, zero_point = _quantization(facts)
    name, shape = facts["name"][:200], first + signature[1:]
    return Tensor(name=name, shape=shape, dtype=_type_name(facts), scale=scale, zero_point=zero_point)


def _signature(facts: Details) -> tuple[int, ...]:
    """Sizes with -1 for free ones; a file may leave the signature out."""
    shape, signature = facts["shape"], facts["shape_signature"]
    return tuple(int(size) for size in (signature if len(signature) == len(shape) else shape))


def _type_name(facts: Details) -> str:
    dtype = np.dtype(facts["dtype"])
    return STRING if dtype.kind in "SO" else dtype.name


def _quantization(facts: Details) -> tuple[float, int]:
    """Scale and zero point of an integer tensor; 0 without, or one for each channel."""
    quantization = facts["quantization_parameters"]
    if np.dtype(facts["dtype"]).kind not in "iu" or len(quantization["scales"]) != 1:
        return 0.0, 0
    return float(quantization["scales"][0]), int(quantization["zero_points"][0])
