"""What an application may rely on: a model's inputs, outputs and task."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from protocol.errors import ContractDiffers
from protocol.messages.base import Figure, Frozen, Text

DIMENSIONS_MAX: Final = 8
SPREADS_MAX: Final = 64
FREE: Final = -1  # in a shape: a size that each run may choose, within the bounds
BATCH_MAX: Final = 64  # rows; a longer first dimension is time or another axis of one input

Spread = Annotated[Figure, Field(ge=0)]


class Tensor(Frozen):
    """An input or output in the model's own type.

    `shape`: the file's, with 1 for a free batch, and -1 for any other free size, within
    `size_min` and `size_max` for inputs; see `Contract` for its first dimension.
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
    every row of a golden set, and every stream, begins at the file's initial state.
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

        Shapes, types and task count, and the roles of outputs where both declare them;
        names do not, as converters rename tensors.
        """
        self._check_task(other)
        for side, ours, theirs in (("input", self.inputs, other.inputs), ("output", self.outputs, other.outputs)):
            if len(ours) != len(theirs):
                raise ContractDiffers(f"{len(theirs)} {side}s where earlier versions have {len(ours)}")
            for index, (old, new) in enumerate(zip(ours, theirs, strict=True)):
                if (old.shape, old.dtype) != (new.shape, new.dtype):
                    raise ContractDiffers(
                        f"{side} {index} is {new.dtype} {list(new.shape)} where earlier versions"
                        f" have {old.dtype} {list(old.shape)}",
                        hint="release it as another model, or bring the model back to the old shape",
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
                hint="bring the outputs back to the old order",
            )
