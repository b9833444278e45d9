"""What an application gives, and whether a version takes what earlier ones took."""

from __future__ import annotations

from itertools import zip_longest

from protocol.errors import ContractDiffers
from protocol.messages.contract import Contract, Tensor
from protocol.messages.preprocessing import ArrayInput, PictureInput, Preprocessing, Raw, Step
from protocol.preprocessing.raw_input import channels_of, describe


def raw_inputs(contract: Contract, preprocessing: Preprocessing | None) -> list[Raw]:
    """What an application gives for each input: as declared, else the tensor itself."""
    declared = preprocessing.inputs if preprocessing else ()
    raws = [each.raw for each in declared]
    return [
        raw or _array(contract.row_shape(tensor), tensor)
        for raw, tensor in zip_longest(raws, contract.inputs)
        if tensor is not None
    ]


def check_raw_successor(
    before: tuple[Contract, Preprocessing | None], after: tuple[Contract, Preprocessing | None]
) -> None:
    """Raise ContractDiffers if an application of `before` would have to change.

    With a preprocessing, an application depends on what it gives, not on what the model
    takes: that may change with the steps.
    """
    (old, old_steps), (new, new_steps) = before, after
    if (old_steps is None and new_steps is None) or len(old.inputs) != len(new.inputs):
        old.check_successor(new)
        return
    pairs = zip(raw_inputs(old, old_steps), raw_inputs(new, new_steps), strict=True)
    for index, (ours, theirs) in enumerate(pairs):
        if not _takes(theirs, ours):
            raise ContractDiffers(
                f"an application must give {describe(theirs)} as input {index}, where earlier versions take"
                f" {describe(ours)}",
                hint="declare the same raw input, or release it as another model",
            )
    old.check_successor(new.model_copy(update={"inputs": old.inputs}))


def changes(before: Preprocessing | None, after: Preprocessing | None) -> tuple[str, ...]:
    """What is done differently with each input, as sentences."""
    ours, theirs = (each.inputs if each else () for each in (before, after))
    lines = []
    for index, (old, new) in enumerate(zip_longest(ours, theirs)):
        was, is_ = (steps_text(each.steps) if each else "nothing" for each in (old, new))
        if was != is_:
            lines.append(f"the preprocessing of input {index} is {is_}, before {was}")
    return tuple(lines)


def steps_text(steps: tuple[Step, ...]) -> str:
    """Such as "resize(width=96, height=96), scale(factor=0.0039)"."""
    return ", ".join(_step_text(step) for step in steps) or "nothing"


def _step_text(step: Step) -> str:
    values = step.model_dump(exclude_defaults=True, exclude={"step"})
    return f"{step.step}({', '.join(f'{name}={_short(value)}' for name, value in values.items())})"


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return "/".join(map(_short, value[:3])) + (" …" if len(value) > 3 else "")
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _array(shape: tuple[int, ...], tensor: Tensor) -> ArrayInput:
    return ArrayInput.model_construct(kind="array", dtype=tensor.dtype, shape=shape)  # of any type: nothing is checked


def _takes(new: Raw, old: Raw) -> bool:
    """Whether everything that fits `old` fits `new`."""
    if isinstance(new, PictureInput) and isinstance(old, ArrayInput):
        sizes = old.shape[-1] == channels_of(new) and len(old.shape) == 3
        return sizes and old.dtype == "uint8" and new.order != "BGR"
    return new == old
