"""What an application may rely on: a model's inputs, outputs and task."""

from __future__ import annotations

from math import isclose
from typing import Annotated, Final

from pydantic import Field

from protocol.errors import ContractDiffers
from protocol.messages.base import Figure, Frozen, Text

DIMENSIONS_MAX: Final = 8
SPREADS_MAX: Final = 64
UNNAMED: Final = ("StatefulPartitionedCall", "PartitionedCall")  # TensorFlow's, of an output without a name
FREE: Final = -1  # in a shape: a size that each run may choose, within the bounds
BATCH_MAX: Final = 64  # rows; a longer first dimension is time or another axis of one input

Spread = Annotated[Figure, Field(ge=0)]


class Tensor(Frozen):
    """An input or output in the model's own type.

    `shape`: the file's, with 1 for a free batch, and -1 for any other free size, within
    `size_min` and `size_max` for inputs; see `Contract` for its first dimension. A size
    that is free in the file and given here is what the file is resized to.
    `name`: the file's, or the signature's. Range: of the training set, real numbers.
    `dtype` float32 of a quantized tensor without `scale`: devices convert, as they did
    before contracts told a model's own types.
    `spread`: deviation of real values at one place from row to row; one for each of the
    last dimension where that is at most 64, as units may differ, else one for all.
    """

    name: str = Field(max_length=200)
    shape: tuple[int, ...] = Field(max_length=DIMENSIONS_MAX)
    dtype: str = Field(default="float32", max_length=16, description="numpy's name, or string")
    value_min: float | None = None
    value_max: float | None = None
    scale: float = Field(default=0.0, ge=0, description="real = scale * (stored - zero_point); 0: not quantized")
    zero_point: int = 0
    size_min: tuple[int, ...] = Field(
        default=(), max_length=DIMENSIONS_MAX, description="per dimension; if any is free"
    )
    size_max: tuple[int, ...] = Field(default=(), max_length=DIMENSIONS_MAX)
    role: str = Field(default="", max_length=32, description="of an output in its task: boxes, classes, scores …")
    spread: tuple[Spread, ...] = Field(
        default=(),
        max_length=SPREADS_MAX,
        description="root mean square deviation on the golden set",
    )


class TaskDeclaration(Frozen):
    """What the model is for, which tells what an answer is and when two are alike."""

    name: str = Field(max_length=32, description="classification, detection, … scores; see docs/TASKS.md")
    form: str = Field(default="", max_length=32, description="of the answer, such as softmax, multi_label, sigmoid")
    threshold: float | None = Field(default=None, description="of a score from which it counts")
    reason: Text = Field(default="", description="given, or how it was guessed")

    @property
    def title(self) -> str:
        return f"{self.name} {self.form}".strip()


class Contract(Frozen):
    """Inputs, outputs and task, the same for every version of a model.

    Applications, golden sets and tasks see rows (`row_shape`). A first dimension of 1
    is the batch, and no part of a row. So is another size of up to 64 that all tensors
    of a contract begin with: a runtime fills such a fixed batch with copies of the last
    row. Any other tensor is a row as a whole, as are free numbers of boxes.

    Order: the file's; with `signature` by the signature's names, sorted. `stateful`:
    every sequence of a golden set, and every stream, begins at the initial state that
    a file has when it is opened, and at no other time for certain.
    """

    inputs: tuple[Tensor, ...] = Field(min_length=1, max_length=16)
    outputs: tuple[Tensor, ...] = Field(min_length=1, max_length=16)
    task: TaskDeclaration | None = Field(default=None, description="none: by the shapes, as before there were tasks")
    signature: str = Field(default="", max_length=200, description="of several in the file; empty: the first")
    stateful: bool = Field(default=False, description="an answer depends on the inputs before it")

    @property
    def batch(self) -> int:
        """How many rows one run of the file takes: 1, or a fixed batch."""
        tensors = (*self.inputs, *self.outputs)
        firsts = {tensor.shape[0] if len(tensor.shape) > 1 else 1 for tensor in tensors}
        first = firsts.pop()
        return first if not firsts and 1 < first <= BATCH_MAX else 1

    def row_shape(self, tensor: Tensor) -> tuple[int, ...]:
        """Shape of a tensor of this contract for one input, without the batch."""
        return tensor.shape[1:] if tensor.shape[:1] == (self.batch,) else tensor.shape

    def check_successor(self, other: Contract) -> None:
        """Raise ContractDiffers if `other` breaks an application of this contract.

        Shapes, types and task count, and the roles of outputs where both declare them.
        Names count only as an order: converters rename tensors, but the same names in
        another order are inputs or outputs that were swapped.
        """
        self._check_task(other)
        for side, ours, theirs in self._sides(other):
            _check_names(side, ours, theirs)
            for index, (old, new) in enumerate(zip(ours, theirs, strict=True)):
                if (_sizes(old), old.dtype) != (_sizes(new), new.dtype) or not _covers(new, old):
                    raise ContractDiffers(
                        f"{side} {index} is {described(new)} where earlier versions have {described(old)}",
                        hint="release it as another model, or bring the model back to the old shape",
                    )
        if self.stateful != other.stateful:
            raise ContractDiffers(
                f"it {_keeps(other)} state between inputs where earlier versions {'do' if self.stateful else 'do not'}",
                hint="release it as another model: an application calls the two in different ways",
            )

    def _check_task(self, other: Contract) -> None:
        if not self.task or not other.task:
            return
        if (self.task.name, self.task.form) != (other.task.name, other.task.form):
            raise ContractDiffers(
                f"its task is {other.task.title} where earlier versions have {self.task.title}",
                hint=f"if it is the same, give --task {self.task.title.replace(' ', ':')}",
            )
        ours, theirs = [each.role for each in self.outputs], [each.role for each in other.outputs]
        if any(ours) and any(theirs) and ours != theirs:
            raise ContractDiffers(
                f"its outputs are {', '.join(theirs)} where earlier versions have {', '.join(ours)}",
                hint="bring the outputs back to the old order; if they are in it, give --roles"
                f" {','.join(each or '-' for each in ours)}",
            )

    def check_file(self, file: Contract) -> None:
        """Raise ContractDiffers if a file with these tensors cannot serve this.

        A size that is free in the file fits any; float32 fits a quantized tensor, whose
        numbers the device converts.
        """
        for side, ours, theirs in self._sides(file):
            for index, (declared, found) in enumerate(zip(ours, theirs, strict=True)):
                if not _serves(declared, found):
                    raise ContractDiffers(
                        f"{side} {index} of the file is {described(found)}, its contract says {described(declared)}"
                    )

    def renamed(self, other: Contract) -> tuple[str, ...]:
        """What `other` names or quantizes differently, each as a sentence."""
        found = []
        for side, ours, theirs in (("input", self.inputs, other.inputs), ("output", self.outputs, other.outputs)):
            for index, (old, new) in enumerate(zip(ours, theirs, strict=False)):
                if bare_name(old.name) != bare_name(new.name) and not old.name.startswith(UNNAMED):
                    found.append(f"{side} {index} is named {new.name!r}, before {old.name!r}")
                if (old.scale, old.zero_point) != (new.scale, new.zero_point):
                    before, now = (f"{each.scale:.6g} * (stored - {each.zero_point})" for each in (old, new))
                    found.append(f"{side} {index} holds {now}, before {before}")
        return tuple(found)

    def _sides(self, other: Contract) -> tuple[tuple[str, tuple[Tensor, ...], tuple[Tensor, ...]], ...]:
        sides = (("input", self.inputs, other.inputs), ("output", self.outputs, other.outputs))
        for side, ours, theirs in sides:
            if len(ours) != len(theirs):
                raise ContractDiffers(f"{len(theirs)} {side}s where earlier versions have {len(ours)}")
        return sides


def described(tensor: Tensor) -> str:
    """Type and shape with the bounds of free sizes: float32 [1, 32-512, 3]."""
    lows, highs = tensor.size_min, tensor.size_max
    bounded = len(lows) == len(highs) == len(tensor.shape)
    sizes = [
        str(size) if size != FREE else f"{lows[axis]}-{highs[axis]}" if bounded else "any"
        for axis, size in enumerate(tensor.shape)
    ]
    return f"{tensor.dtype} [{', '.join(sizes)}]"


def bare_name(name: str) -> str:
    """Without what TensorFlow puts around the name of a signature's tensor."""
    return name.removeprefix("serving_default_").removesuffix(":0")


def _check_names(side: str, ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> None:
    before, now = [bare_name(each.name) for each in ours], [bare_name(each.name) for each in theirs]
    if before != now and sorted(before) == sorted(now):
        raise ContractDiffers(
            f"its {side}s are {', '.join(now)} where earlier versions have {', '.join(before)}: they were swapped",
            hint=f"convert it with its {side}s in the old order",
        )


def _sizes(tensor: Tensor) -> tuple[int, ...]:
    """Its shape; older publishers wrote 0 for a free size of an output."""
    return tuple(size or FREE for size in tensor.shape)


def _covers(new: Tensor, old: Tensor) -> bool:
    """True if every size that `old` allows is allowed by `new`."""
    lower = all(a <= b for a, b in zip(new.size_min, old.size_min, strict=False))
    return lower and all(a >= b for a, b in zip(new.size_max, old.size_max, strict=False))


def _serves(declared: Tensor, found: Tensor) -> bool:
    if declared.scale and (not isclose(declared.scale, found.scale) or declared.zero_point != found.zero_point):
        return False
    converted = declared.dtype == "float32" and bool(found.scale)
    if (declared.dtype != found.dtype and not converted) or len(declared.shape) != len(found.shape):
        return False
    return all(theirs in {ours, FREE} for ours, theirs in zip(declared.shape, found.shape, strict=True))


def _keeps(contract: Contract) -> str:
    return "keeps" if contract.stateful else "keeps no"
